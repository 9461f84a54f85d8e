"""Languages to test with: made up here, so that no test hangs on what somebody translated."""

import io
from collections.abc import Mapping
from typing import Final
from zipfile import Path, ZipFile

from babel.messages.catalog import Catalog

from bot.homes.discord.voice import Voice
from bot.languages.languages import ENDING, Languages, shipped
from bot.languages.messages import Said, catalogue, said_everywhere, written

OPEN, CLOSE = "»", "«"
SAID: Final = said_everywhere()
# The sign before a sentence stands first in every language.
_AS_IT_IS: Final = {("{mark} {sentence}",)}


def languages_of(locale: str, translations: Mapping[Said, Said]) -> Languages:
    """One language, in which this is translated, and nothing else."""
    assert translations.keys() <= SAID.keys()  # else nobody would miss it
    known = Catalog(locale.replace("-", "_"), fuzzy=False)
    for said, text in translations.items():
        known.add(said[0] if len(said) == 1 else said, text[0] if len(said) == 1 else text)
    places = {said: ["somewhere.py"] for said in sorted(translations)}
    stream = io.BytesIO()
    with ZipFile(stream, "w") as folder:
        folder.writestr(f"{locale}{ENDING}", written(catalogue(locale, places, known)))
    return Languages(Path(ZipFile(stream)))


def foreign() -> Languages:
    """A German in which everything that is said stands in its own brackets."""
    return languages_of(
        "de",
        {
            said: said if said in _AS_IT_IS else tuple(f"{OPEN}{one}{CLOSE}" for one in said)
            for said in SAID
        },
    )


def beside_words(text: str) -> str:
    """What of a text stands in no brackets of the foreign language."""
    depth, beside = 0, ""
    for char in text:
        depth += (char == OPEN) - (char == CLOSE)
        if depth == 0 and char != CLOSE:
            beside += char
    return beside


ENGLISH: Final = Voice(shipped(), "en-US")
FOREIGN: Final = Voice(foreign(), "de")
EVERY_VOICE: Final = (
    ENGLISH,
    FOREIGN,
    *(Voice(ENGLISH.languages, one) for one in ENGLISH.languages.locales),
)
