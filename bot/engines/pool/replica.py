"""One engine of the pool, as Ray Serve runs it: the engine thread in a process of its own."""

import asyncio
import logging
import socket
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Final

from bot.engines.pool.calls import ServeCalls
from bot.engines.pool.described import TURNS, Beat, Warm, name_of
from bot.engines.pool.drawings import Drawings, Key, Told, Trouble
from bot.errors import EngineGoneError
from bot.shared.own_version import own_version
from sdxl_engine.errors import EngineError, EngineStartError, InvalidRequestError
from sdxl_engine.request import NO_PICTURES, ImageRequest, Pictures
from sdxl_engine.sentence import say
from sdxl_engine.thread import EngineThread, Pipeline

log = logging.getLogger(__name__)

_LOOKS_EVERY_S: Final = 1.0  # while it starts, whether that goes on
_BEAT_S: Final = 1.0  # between two signs of life


@dataclass(frozen=True, slots=True)
class Patience:
    """For how many seconds an engine may be silent; 0 is for ever."""

    drawing_s: float
    starting_s: float


@dataclass(frozen=True, slots=True)
class Failed:
    """Why a drawing has no images, in place of them.

    An item and no exception, which Serve would log with its trace, though a job that somebody
    cancelled is no trouble.
    """

    error: Trouble


class EngineReplica:
    """One engine; the first argument of what bots call is its name, by which the call found it.

    kind      of engines, as the configuration calls it
    is_first  whether it draws what names no model
    start     makes the warm pipeline; runs on the engine's thread
    patience  with a device that gives no sign of life

    It is made once it is warm: until then Serve sends it no calls. Raises EngineStartError.
    """

    def __init__(
        self, kind: str, start: Callable[[], Pipeline], patience: Patience, *, is_first: bool = True
    ) -> None:
        # Here, where Ray Serve runs it.
        from ray import serve  # noqa: PLC0415

        here = serve.get_replica_context()
        self._kind = kind
        self._is_first = is_first
        self._name = name_of(kind, here.replica_id.unique_id)
        self._patience = patience
        self._thread = EngineThread(start)
        self._thread.start()
        self._warm = Warm.of(self._started())
        self._drawings = Drawings(self._thread)
        self._calls = ServeCalls(here.app_name)
        self._waiting = 0  # jobs that such an engine could draw, as was heard last
        self._beats = asyncio.get_running_loop().create_task(self._keep_beating())

    def _started(self) -> Pipeline:
        while True:
            try:
                return self._thread.ready.result(timeout=_LOOKS_EVERY_S)
            except TimeoutError:
                if 0 < self._patience.starting_s < self._thread.silent_s:
                    silent = say("The engine gave no sign of life while it started.")
                    raise EngineStartError(silent) from None

    @property
    def _hangs(self) -> bool:
        return 0 < self._patience.drawing_s < self._thread.silent_s

    async def watch(
        self,
        engine: str,  # noqa: ARG002 - what the call was routed by, here and below
        key: Key,
        request: ImageRequest | None,
        pictures: Pictures = NO_PICTURES,
    ) -> AsyncGenerator[Told | Failed]:
        """Draw, unless it is drawn, and tell what becomes of it; see `Drawings.watch`.

        request  None: it is only watched
        """
        try:
            if request is not None:
                self._drawings.begin(key, request, pictures)
            async with aclosing(self._drawings.watch(key)) as watching:
                async for told in watching:
                    yield told
        except (EngineError, EngineGoneError) as error:
            yield Failed(error)

    async def let_go(self, engine: str, key: Key) -> None:  # noqa: ARG002
        """See `Drawings.let_go`."""
        self._drawings.let_go(key)

    async def check(self, engine: str, request: ImageRequest) -> InvalidRequestError | None:  # noqa: ARG002
        """Why it cannot be drawn; None: nothing is known against it."""
        try:
            # On a thread: the first to name a LoRA has its file looked at.
            await asyncio.to_thread(self._thread.ready.result().check, request)
        except InvalidRequestError as error:
            return error
        return None

    async def loras(self, engine: str) -> Mapping[str, str | None]:  # noqa: ARG002
        """What the problem of each LoRA is, by its name."""
        pipeline = self._thread.ready.result()
        # On a thread: it looks at files.
        return await asyncio.to_thread(
            lambda: {name: lora.problem for name, lora in pipeline.loras.items()}
        )

    async def check_health(self) -> None:
        """Raise if the device gives no sign of life: then Serve makes another engine."""
        if self._hangs:
            silent_s = self._thread.silent_s
            self._drawings.fail(EngineGoneError("The engine hangs.", begun=True))
            raise RuntimeError(f"The device has given no sign of life for {silent_s:.0f} s.")

    def record_autoscaling_stats(self) -> dict[str, float]:
        """What `scaling.engines_wanted` goes by."""
        return {"waiting": self._waiting, "drawing": self._drawings.drawing() is not None}

    async def _keep_beating(self) -> None:
        beat_of: dict[str, Any] = {
            "engine": self._name,
            "kind": self._kind,
            "draws": frozenset({*self._warm.models, *([None] if self._is_first else [])}),
            "version": own_version(),
            "host": socket.gethostname(),
            "warm": self._warm,
        }
        while True:
            if not self._hangs:  # who gives the turns then gives it none
                beat = Beat(
                    **beat_of,
                    drawing=self._drawings.drawing(),
                    held=self._drawings.held(),
                )
                await self._send(beat)
            await asyncio.sleep(_BEAT_S)

    async def _send(self, beat: Beat) -> None:
        try:
            self._waiting = await self._calls.call(TURNS, "beat", beat)
        except EngineGoneError as error:  # another comes
            log.warning("whoever gives turns has not heard of this engine: %s", error)
