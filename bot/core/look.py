"""One picture that somebody looks at alone, as data: what may be pressed beside it."""

from collections.abc import Iterator
from typing import Final

from bot.core import card
from bot.core.card import Action, Rows, Slot
from bot.core.job import Record
from bot.core.ports.gallery import Picture
from sdxl_engine.sentence import say

NOT_KEPT: Final = say("The bot no longer keeps this picture. The message above still has it.")
_ROW: Final = 5  # what chats show beside each other


def slot(record: Record, picture: Picture) -> Slot:
    """The picture as it was drawn: whoever looks has chosen to see it."""
    return Slot(picture.filename, card.alt_text(record.job.wish, picture.index), picture.data)


def actions(record: Record, index: int, *, liked: bool) -> Rows:
    """What may be made of it, then the job's other pictures in rows, this one among them."""
    others = tuple(
        Action("look", record.job.id, f"{one.index + 1}", one.index) for one in record.images
    )
    others = others if len(others) > 1 else ()
    rows = (others[first : first + _ROW] for first in range(0, len(others), _ROW))
    return (tuple(_made_of(record, index, liked=liked)), *rows)


def _made_of(record: Record, index: int, *, liked: bool) -> Iterator[Action]:
    job_id = record.job.id
    if record.job.wish.upscale is None:
        yield Action("upscale", job_id, say("⤢ Larger"), index)
    yield Action("subtle", job_id, say("🎲 A little different"), index)
    yield Action("strong", job_id, say("🎲 Quite different"), index)
    if liked:
        yield Action("unlike", job_id, say("💛 Liked"), index)
    else:
        yield Action("like", job_id, say("🤍 Like"), index)
    if record.job.showing.private:
        yield Action("publish", job_id, say("📢 Only this one"), index)


def without(rows: Rows, shown: int, *kinds: str) -> Rows:
    """Without the picture that is there, where a button cannot be shown and not be pressed."""

    def stays(one: Action) -> bool:
        return one.kind not in kinds and not (one.kind == "look" and one.index == shown)

    return tuple(filter(None, (tuple(filter(stays, row)) for row in rows)))
