"""The one message that is a job's card, as any home has it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from bot.core.card import Card, is_preview


@dataclass(frozen=True, slots=True)
class Seen:
    """What a card that was read back shows.

    filenames  of its pictures, in order
    is_over    it says how its job ended
    is_last    its words are those of the last edit that was made here
    """

    filenames: tuple[str, ...]
    is_over: bool
    is_last: bool = field(default=True, compare=False)

    @property
    def has_pictures(self) -> bool:
        """Whether finished pictures are there."""
        return any(not is_preview(name) for name in self.filenames)

    def shows(self, filenames: Sequence[str]) -> bool:
        """Whether it has exactly these files."""
        return self.filenames == tuple(filenames)


class Message(Protocol):
    """A message that can be edited and read."""

    async def edit(self, card: Card, *, is_last: bool = False) -> None:
        """Make it look like this.

        is_last  the card's last look: where there is no message to change, a new one is sent

        Raises AwayError; CardGoneError, UndeliveredError where trying again cannot help.
        """

    async def read(self) -> Seen | None:
        """What it shows now; None where it cannot be read. Raises CardGoneError."""
