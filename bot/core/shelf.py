"""Somebody's own pictures, a page at a time, as data: titles, and which pages there are beside."""

from typing import Final

from bot.core import card
from bot.core.card import Slot
from bot.core.studio import OnPage, Page, Shelf
from sdxl_engine.sentence import say

TITLES: Final[dict[Shelf, str]] = {
    "drawn": say("Your pictures, the newest first"),
    "liked": say("What you like"),
}
NEWER: Final = say("◀ Newer")
OLDER: Final = say("Older ▶")
LOST: Final = say("no longer kept here")
_NOTHING: Final[dict[Shelf, str]] = {
    "drawn": say("Nothing was drawn for you yet. Type /imagine and say what to draw."),
    "liked": say("You like nothing yet. Below pictures, press Look and then Like."),
}


def nothing(page: Page) -> str | None:
    """What is said in the place of pictures; None: there are some."""
    return _NOTHING[page.shelf] if not page.pictures and page.number == 0 else None


def number(page: Page) -> str:
    """Which page it is."""
    return say("page {number}", number=page.number + 1)


def slot(one: OnPage) -> Slot | None:
    """A picture of a page, small; None where its file is lost."""
    if one.thumbnail is None:
        return None
    job = one.record.job
    alt_text = card.alt_text(job.wish, one.index)
    return Slot(one.thumbnail.filename, alt_text, one.thumbnail.data, job.showing.spoiler)


def turns(page: Page) -> dict[str, int]:
    """The pages beside it: their numbers by what is pressed for them."""
    beside: dict[str, int] = {}
    if page.number:
        beside[NEWER] = page.number - 1
    if page.has_next:
        beside[OLDER] = page.number + 1
    return beside
