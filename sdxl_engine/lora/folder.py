"""The folder of LoRAs that people may choose from, by their files' names."""

import difflib
import os
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sdxl_engine.checkpoint.card import Card
from sdxl_engine.checkpoint.folder import listed
from sdxl_engine.checkpoint.json_reader import plain
from sdxl_engine.errors import CheckpointError, InvalidRequestError
from sdxl_engine.hashes import Version, version
from sdxl_engine.lora.file import LoraFile, look_at, unusable
from sdxl_engine.lora.names import Expected, spellings
from sdxl_engine.request import Lora
from sdxl_engine.sentence import either, say, sentence_of

_ENDING: Final = ".safetensors"
_PICKLES: Final = (".bin", ".ckpt", ".pt", ".pth")


@dataclass(frozen=True, slots=True)
class LoraFacts:
    """What is known of a LoRA without reading its numbers.

    kind     "LoRA", "LoHa", "LoKr", "full", perhaps "with DoRA", or several of them
    rank     the largest of its modules; None where nothing is decomposed
    base     what its trainer says of the model that it is for, "" if nothing
    words    what a prompt should hold: of the NAME.toml beside it, else of its header
    problem  why it cannot be drawn with, as a sentence; None if nothing is known against it
    """

    path: Path
    kind: str = ""
    rank: int | None = None
    base: str = ""
    words: tuple[str, ...] = ()
    problem: str | None = None


class LoraFolder:
    """Finds LoRAs; looks at each file again when it has changed.

    Any thread may ask.

    folder    of safetensors files
    expected  the model's parameters, of each of `names.PARTS`

    Raises CheckpointError for a folder that is none.
    """

    def __init__(self, folder: Path, expected: Expected) -> None:
        if not folder.is_dir():
            raise CheckpointError(
                f"There is no folder {folder} for LoRAs. Make it, or name another."
            )
        self.expected = expected
        self._folder = folder
        self._spellings = spellings(expected)
        # What was found at each name's file, and when.
        self._seen: dict[str, tuple[Version, LoraFile | CheckpointError]] = {}
        # One file is looked at at a time, and none twice: the largest take 60 ms of a processor.
        self._looking = threading.Lock()

    def facts(self) -> dict[str, LoraFacts]:
        """Every LoRA of the folder by its name, also those that cannot be drawn with.

        None where the folder is gone, or cannot be looked into.
        """
        facts = {}
        for path in sorted(self._folder.glob("[!.]*")):
            if path.suffix == _ENDING:
                facts[path.stem] = self._facts(path)
            elif path.suffix in _PICKLES:
                facts.setdefault(path.stem, LoraFacts(path, problem=_pickled(path)))
        return facts

    def find(self, name: str) -> LoraFile:
        """The LoRA of this name; raises InvalidRequestError."""
        path = self._folder / f"{name}{_ENDING}"
        if not os.path.lexists(path):  # a link to nowhere is there, and says so
            raise InvalidRequestError(self._unknown(name))
        try:
            return self._look(path)
        except CheckpointError as error:
            raise InvalidRequestError(unusable(path, error)) from error

    def _facts(self, path: Path) -> LoraFacts:
        try:
            Lora(path.stem)
            file = self._look(path)
            words = Card.if_any(path).trigger_words or file.words
        except (InvalidRequestError, CheckpointError) as error:
            return LoraFacts(path, problem=sentence_of(error))
        return LoraFacts(path, file.kind, file.rank, file.base, words)

    def _look(self, path: Path) -> LoraFile:
        try:
            now = version(path)
        except OSError:
            return look_at(self._folder, path, self._spellings)  # it says what is wrong
        with self._looking:
            seen, found = self._seen.get(path.stem, (None, None))
            if seen != now or found is None:
                try:
                    found = look_at(self._folder, path, self._spellings)
                except CheckpointError as error:
                    found = error
                self._seen[path.stem] = now, found
        if isinstance(found, CheckpointError):
            raise CheckpointError(str(found))
        return found

    def _unknown(self, name: str) -> str:
        for ending in _PICKLES:
            path = self._folder / f"{name}{ending}"
            if path.exists():
                return say("The LoRA {name} cannot be used: {why}", name=name, why=_pickled(path))
        names = [each for each, facts in self.facts().items() if facts.problem is None]
        by_small = {each.casefold(): each for each in names}
        close = difflib.get_close_matches(name.casefold(), by_small, n=3, cutoff=0.5)
        near = [by_small[each] for each in close]
        if near:
            return say(
                "There is no LoRA {name} here. Did you mean {near}?",
                name=repr(name),
                near=either(map(plain, near)),
            )
        if not names:
            return say("There is no LoRA {name} here. There are: none.", name=repr(name))
        return say(
            "There is no LoRA {name} here. There are: {names}.",
            name=repr(name),
            names=listed(names),
        )


def _pickled(path: Path) -> str:
    return say(
        "{file} is pickled, and such a file can run code when it is opened. This engine reads "
        "safetensors only: convert it, or choose another.",
        file=path.name,
    )
