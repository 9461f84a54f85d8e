"""A recipe: what a picture's file says of how it was drawn."""

from dataclasses import dataclass
from typing import Final

from bot.core.wish import Wish

OURS: Final = "imagine"


@dataclass(frozen=True, slots=True)
class Recipe:
    """What a picture's file says of how it was drawn.

    program     that wrote it; empty if nobody here knows it
    wish        asks for one picture like it, as far as that can be asked for here, and with what
                the file does not say left open; None where only `text` is known. Its texts are a
                stranger's: they may hold anything, and be more than can be drawn. Pictures in it
                are named by their hashes, and are not in the file
    model       the name of what drew it, and the hash of its file, as the program has them
    left_out    what the wish does not say of it, each in a few words
    text        what is written in the file, cut, if nobody here knows what it means
    """

    program: str
    wish: Wish | None
    model: str | None = None
    model_hash: str | None = None
    left_out: tuple[str, ...] = ()
    text: str = ""

    @property
    def is_ours(self) -> bool:
        """Whether the wish, with the same model, draws the same picture, if the file is honest."""
        return self.program == OURS
