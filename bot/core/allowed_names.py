"""Names of models and LoRAs that somebody types as those that may be asked for."""

import asyncio
from collections.abc import Iterable, Sequence
from typing import Final

from bot.core.studio import Studio
from bot.core.suggestion import suggestion
from bot.errors import JobRefusedError
from sdxl_engine.errors import InvalidRequestError
from sdxl_engine.sentence import say, sentences

_NONE: Final = "none"  # typed for a list without names
_WARMING_UP: Final = say("The engine is warming up, so nobody knows the names yet. Ask again soon.")


class AllowedNames:
    """Reads lists with commas; raises InvalidRequestError for a name that is none here, and
    JobRefusedError as long as nobody knows them.
    """

    def __init__(self, studio: Studio) -> None:
        self._studio = studio

    async def models(self, text: str) -> tuple[str, ...]:
        """Of models: one at least."""
        known = await self.known_models()
        names = named(text)
        if not names:
            raise InvalidRequestError(say("Name one model at least."))
        for name in names:
            if name not in known:
                there_is_none = say("There is no model {name} here.", name=name)
                raise InvalidRequestError(_with(there_is_none, name, known))
        return names

    async def loras(self, text: str) -> tuple[str, ...]:
        """Of LoRAs; "none" is a list without any."""
        if text.strip().casefold() == _NONE:
            return ()
        known = await self.known_loras()
        names = named(text)
        for name in names:
            if name not in known:
                there_is_none = say("There is no LoRA {name} here.", name=name)
                raise InvalidRequestError(_with(there_is_none, name, known))
        return names

    async def known_models(self) -> Sequence[str]:
        """Those there are."""
        if self._studio.model is None:
            raise JobRefusedError(_WARMING_UP)
        return self._studio.model.models

    async def known_loras(self) -> Sequence[str]:
        """Those there are."""
        model = self._studio.model
        if model is None:
            raise JobRefusedError(_WARMING_UP)
        return await asyncio.to_thread(lambda: list(model.loras))


def named(text: str) -> tuple[str, ...]:
    """What stands between the commas, each once."""
    return tuple(dict.fromkeys(filter(None, (one.strip() for one in text.split(",")))))


def _with(sentence: str, name: str, known: Iterable[str]) -> str:
    return sentences(sentence, suggestion(name, known))
