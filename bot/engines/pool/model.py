"""What the engines of a pool draw with, as a bot knows it."""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Final

from bot.engines.pool.calls import LIMIT_S, Calls
from bot.engines.pool.described import Beat
from bot.errors import EngineGoneError
from sdxl_engine.errors import InvalidRequestError
from sdxl_engine.request import ImageRequest, KnownLora, ModelCard

log = logging.getLogger(__name__)

_CARDS: Final = 64  # of what was drawn, until its pictures are stored


@dataclass(frozen=True, slots=True)
class PoolLora:
    """Implements `KnownLora`."""

    problem: str | None


class PoolModel:
    """Implements `Model`, of the engines that there are; it stays when they go.

    It asks an engine what only that can say: on a thread, while the event loop goes on.
    """

    def __init__(self, calls: Calls) -> None:
        self.loop: asyncio.AbstractEventLoop | None = None  # on which engines are asked
        self._calls = calls
        self._engines: tuple[Beat, ...] = ()
        self._are_there = False
        self._loras: Mapping[str, KnownLora] = {}
        self._cards: OrderedDict[ImageRequest, ModelCard] = OrderedDict()

    def know(self, engines: Sequence[Beat]) -> None:
        """These there are now; if there are none, what was known holds on."""
        self._are_there = bool(engines)
        if engines:
            # Those first that draw what names no model.
            self._engines = tuple(sorted(engines, key=lambda one: None not in one.draws))

    def remember(self, request: ImageRequest, card: ModelCard) -> None:
        """What the engine that drew a request said of its files."""
        self._cards[request] = card
        self._cards.move_to_end(request)
        while len(self._cards) > _CARDS:
            self._cards.popitem(last=False)

    @property
    def sizes(self) -> tuple[tuple[int, int], ...]:
        """See `Model.sizes`; those of the first kind of engines."""
        return self._engines[0].warm.sizes

    @property
    def device(self) -> str:
        """See `Model.device`; of every kind."""
        return ", ".join(dict.fromkeys(one.warm.device for one in self._engines))

    @property
    def models(self) -> tuple[str, ...]:
        """See `Model.models`; of all kinds."""
        return tuple(dict.fromkeys(name for one in self._engines for name in one.warm.models))

    @property
    def checks(self) -> tuple[str, ...]:
        """See `Model.checks`; of all kinds."""
        return tuple(dict.fromkeys(name for one in self._engines for name in one.warm.checks))

    @property
    def loras(self) -> Mapping[str, KnownLora]:
        """See `Model.loras`; those of the first kind, or what they were if it does not answer."""
        try:
            found = self._ask(self._engines[0].kind, "loras")
        except EngineGoneError as error:
            log.warning("the LoRAs that there are could not be asked for: %s", error)
        else:
            self._loras = {name: PoolLora(problem) for name, problem in found.items()}
        return self._loras

    def check(self, request: ImageRequest) -> None:
        """See `Model.check`; what no engine can be asked of now it says when it is to draw it."""
        try:
            refusal = self._ask(self._one_for(request).kind, "check", request)
        except EngineGoneError as error:
            log.warning("a request could not be checked yet: %s", error)
            return
        if isinstance(refusal, InvalidRequestError):
            raise refusal

    def resolved(self, request: ImageRequest) -> ImageRequest:
        """See `Model.resolved`."""
        samplers = self._one_for(request).warm.samplers
        name = next(iter(samplers)) if request.model is None else request.model
        return replace(request, sampler=request.sampler or samplers.get(name))

    def card(self, request: ImageRequest) -> ModelCard:
        """See `Model.card`; as the engine said that drew it."""
        return self._cards.get(request) or ModelCard(request.model or self.models[0])

    def _one_for(self, request: ImageRequest) -> Beat:
        """One that draws it; if there is none, one that refuses it."""
        fitting = (one for one in self._engines if request.model in one.draws)
        return next(fitting, self._engines[0])

    def _ask(self, kind: str, method: str, *args: object) -> Any:  # noqa: ANN401 - what it returns
        """What one of this kind says, the first that answers; raises EngineGoneError."""
        assert self.loop is not None  # noqa: S101 - an engine has been heard of, and there
        asking = self._first_answer(kind, method, *args)
        return asyncio.run_coroutine_threadsafe(asking, self.loop).result()

    async def _first_answer(self, kind: str, method: str, *args: object) -> Any:  # noqa: ANN401 - as above
        # Where there is none at all Serve would have each call wait.
        there = self._engines if self._are_there else ()
        with suppress(TimeoutError):
            async with asyncio.timeout(LIMIT_S):
                for engine in [one.engine for one in there if one.kind == kind]:
                    with suppress(EngineGoneError):
                        return await self._calls.call(kind, method, engine, *args)
        raise EngineGoneError(f"No engine of the kind {kind} answers.", begun=False)
