"""How one person is spoken to: in their language, with points in time as Discord shows them."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import discord

from bot.core.card import Date, Link, Moment
from bot.languages.languages import Languages

_MARKS: Final = {"person": "@", "channel": "#", "role": "@&"}


@dataclass(frozen=True, slots=True)
class Voice:
    """Says in somebody's language what was said in English.

    locale  theirs; empty: nobody knows it
    """

    languages: Languages
    locale: str

    def say(self, text: str) -> str:
        """A text, whose markup is markup."""
        return "".join(map(shown, self.pieces(text)))

    def pieces(self, text: str) -> Iterator[object]:
        """What a text is put together of: stretches of text, and points in time."""
        return self.languages.pieces(text, self.locale)


def voice_of(interaction: discord.Interaction[Any]) -> Voice:
    """In which the one is answered who typed or pressed."""
    return Voice(interaction.client.languages, interaction.locale.value)


def shown(piece: object) -> str:
    """A piece of a text: Discord shows times, people and places in its own way."""
    match piece:
        case Date(at_s):
            return f"<t:{at_s}:f>"
        case Moment(at_s):
            return f"<t:{at_s}:R>"
        case Link(kind, id):
            return f"<{_MARKS[kind]}{id}>"
        case _:
            return str(piece)
