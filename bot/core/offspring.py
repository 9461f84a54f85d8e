"""What is made of what was drawn: pure functions of a job's record."""

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final, Literal

from bot.core.job import Parent, Record
from bot.core.options import Settings
from bot.core.wish import Size, SourceFields, Wish
from bot.errors import IllegalMoveError
from sdxl_engine.errors import InvalidRequestError
from sdxl_engine.request import (
    ALPHA,
    AROUND,
    MAX_SEED,
    PICTURE_VARIATIONS,
    UPSCALING,
    VARIATIONS,
    Source,
)
from sdxl_engine.sentence import say

Prompts = tuple[str, str | None]
How = Literal["subtle", "strong"]

_LARGER: Final = 2.0


@dataclass(frozen=True, slots=True)
class Offspring:
    """What is to be drawn, and of what.

    wish     its source, if it has one, was brought for the parent
    picture  the index of the parent's picture that it starts from, in the place of a source
    begin    how it starts from that: a source that names no picture yet
    brought  the content hashes of what was brought for itself
    """

    wish: Wish
    parent: Parent
    picture: int | None = None
    begin: Callable[[str], Source] | None = None
    brought: tuple[str, ...] = ()

    @property
    def handed_on(self) -> tuple[str, ...]:
        """The content hashes of what was brought for the parent and is needed again."""
        return tuple(one for one in brought_for(self.wish) if one not in self.brought)

    def started_from(self, digest: str, wish: Wish) -> Wish:
        """The wish, once it is known what its picture shows, and what was open is chosen."""
        return (
            wish if self.begin is None else replace(wish, source=source_fields(self.begin(digest)))
        )


def rerolled(record: Record) -> Offspring:
    """The same again with other seeds."""
    wish = replace(record.job.wish, seed=None, first_index=0)
    if wish.variation is not None:
        # Of the seed that is varied nothing changes; what it is turned towards does.
        _, strength, index = wish.variation
        wish = replace(record.job.wish, variation=(_seed(), strength, index))
    return Offspring(wish, Parent(record.job.id, "reroll"))


def varied(record: Record, index: int, how: How) -> Offspring:
    """Pictures like one of them.

    Where it came from noise alone the noise is varied, which keeps what the prompt says; else the
    picture is.
    """
    wish, parent = _alone(record, index), Parent(record.job.id, "vary", index)
    if wish.source is None and wish.variation is None:
        return Offspring(replace(wish, variation=(_seed(), VARIATIONS[how], index)), parent)
    if wish.upscale is not None:  # of one picture
        wish = replace(wish, num_images=None)
    wish = replace(wish, seed=None, source=None, variation=None, upscale=None)
    strength = PICTURE_VARIATIONS[how]
    return Offspring(wish, parent, index, lambda digest: Source(digest, strength))


def upscaled(record: Record, index: int) -> Offspring:
    """One of them twice as large, drawn anew; raises InvalidRequestError if it was already."""
    wish = _alone(record, index)
    if wish.upscale is not None:
        raise InvalidRequestError(say("This picture was made larger already, as large as it gets."))
    wish = replace(wish, source=None, variation=None, upscale=_LARGER, num_images=1)
    parent = Parent(record.job.id, "upscale", index)
    return Offspring(wish, parent, index, lambda digest: Source(digest, UPSCALING))


def edited(
    record: Record,
    prompts: Prompts,
    settings: Settings,
    sizes: Sequence[Size],
    *,
    picture: Source | None = None,
    mask: Source | None = None,
) -> Offspring:
    """The same with other words and other settings.

    prompts  what to draw, and what to stay away from
    sizes    those that a shape may come to
    picture  to start from, in the place of what it started from before; None: of that
    mask     of what is painted of it

    Raises InvalidRequestError.
    """
    wish = replace(record.job.wish, prompt=prompts[0], negative_prompt=prompts[1])
    source = picture
    if picture is not None:
        wish = replace(wish, upscale=None, variation=None)
    elif wish.source is not None:
        source = Source(*wish.source)
    if mask is not None:
        if source is None:
            raise InvalidRequestError(say("A mask needs a picture to start from: send both."))
        source = replace(source, mask=mask.picture)
    if settings.strength is not None:
        if source is None:
            raise InvalidRequestError(
                say("A strength needs a picture to start from: send one along.")
            )
        source = replace(source, strength=settings.strength)
    wish = replace(wish, source=None if source is None else source_fields(source))
    brought = tuple(one.picture for one in (picture, mask) if one is not None)
    wish = settings.read_into(wish, sizes)
    old = record.job.wish
    if (wish.seed, wish.num_images) != (old.seed, old.num_images):  # not that very picture any more
        wish = replace(wish, first_index=0)
    return Offspring(wish, Parent(record.job.id, "edit"), brought=brought)


def begun(
    record: Record, index: int, prompts: Prompts, settings: Settings, sizes: Sequence[Size]
) -> Offspring:
    """Something else that starts from one of them; raises InvalidRequestError."""
    _check_there(record, index)
    prompt, negative_prompt = prompts
    wish = settings.read_into(Wish(prompt, negative_prompt), sizes)
    return Offspring(
        wish, Parent(record.job.id, "begin", index), index, partial(_begun, settings.strength)
    )


def started(wish: Wish, settings: Settings, source: Source) -> Wish:
    """A wish that starts from a picture, as much changed as the settings say."""
    return replace(wish, source=source_fields(_begun(settings.strength, source.picture)))


def published(record: Record, index: int | None) -> Offspring:
    """Pictures of a draft as they are, all or the one of this index, to be shown to everybody.

    Raises InvalidRequestError if it is not there, IllegalMoveError if everybody sees them already.
    """
    job = record.job
    if not job.showing.private:
        raise IllegalMoveError(say("Everybody can see these pictures already."))
    if not record.images:
        raise IllegalMoveError(say("There are no pictures here yet."))
    wish, parent = job.wish, Parent(job.id, "publish", index)
    if index is not None:
        _check_there(record, index)
        wish = replace(wish, first_index=index, num_images=1)
    return Offspring(wish, parent)


def brought_for(wish: Wish) -> tuple[str, ...]:
    """The content hashes of the pictures that a wish starts from."""
    if wish.source is None:
        return ()
    digest, mask = wish.source[0], wish.source[4]
    return (digest,) if mask in {None, ALPHA, AROUND} else (digest, str(mask))


def source_fields(source: Source) -> SourceFields:
    """As a wish has them."""
    return (
        source.picture,
        source.strength,
        source.resize,
        source.zoom,
        source.mask,
        source.feather_px,
    )


def _alone(record: Record, index: int) -> Wish:
    """The wish that drew one of the pictures; raises InvalidRequestError if it is not there."""
    _check_there(record, index)
    wish, parent = replace(record.job.wish, first_index=0), record.job.parent
    if parent is not None and parent.act == "publish":  # how many there were was not said of more
        wish = replace(wish, num_images=None)
    return wish


def _begun(strength: float | None, digest: str) -> Source:
    return Source(digest) if strength is None else Source(digest, strength)


def _check_there(record: Record, index: int) -> None:
    if index not in {one.index for one in record.images}:
        raise InvalidRequestError(say("This picture is not there any more."))


def _seed() -> int:
    return secrets.randbelow(MAX_SEED + 1)
