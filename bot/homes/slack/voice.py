"""How one person is spoken to: in their language, with points in time as Slack shows them."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from bot.core.card import Link, Moment
from bot.languages.languages import Languages

_MARKS: Final = {"person": "@", "channel": "#", "role": "!subteam^"}
# What Slack reads as its own markup; the rest of mrkdwn is not read where people's words stand.
_ESCAPES: Final = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})


@dataclass(frozen=True, slots=True)
class Voice:
    """Says in somebody's language what was said in English.

    locale  theirs; empty: nobody knows it
    """

    languages: Languages
    locale: str

    def plain(self, text: str) -> str:
        """A text as it is read where there is no markup."""
        return self.languages.say(text, self.locale)

    def say(self, text: str) -> str:
        """A text as mrkdwn in which nothing is live but times, people and places."""
        return "".join(map(shown, self._pieces(text)))

    def _pieces(self, text: str) -> Iterator[object]:
        return self.languages.pieces(text, self.locale)


def shown(piece: object) -> str:
    """A piece of a text: Slack shows times, people and places in its own way."""
    match piece:
        case Moment(at_s):
            return f"<!date^{at_s}^{{date_short_pretty}} {{time}}|{piece}>"
        case Link(kind, id):
            shown_id = id.partition("/")[0]  # of a thread its channel
            return f"<{_MARKS[kind]}{escaped(shown_id)}>"
        case _:
            return escaped(str(piece))


def escaped(text: str) -> str:
    """A text with Slack's control characters as they are read."""
    return text.translate(_ESCAPES)
