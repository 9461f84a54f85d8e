"""What a card says, as data: the message that tells where a job stands and becomes its pictures.

Pure functions of a job and where it stands. A home renders a card in its own markup, cuts what is
too long for it, and makes what people typed harmless there.
"""

import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Final, Literal

from bot.core import loras
from bot.core.job import UNFINISHED, Job, Record, State
from bot.core.ports.gallery import Picture
from bot.core.queue.turns import Position
from bot.core.stage import Drawing, InReview, Paused, Stage, Uploading, Waiting
from bot.core.wish import WHOLE, Wish
from sdxl_engine.request import SAMPLERS, SPACINGS, format_size, format_timesteps
from sdxl_engine.sentence import say, say_many, sentences

FAILURE_MARK: Final = "⚠️"
PREVIEW_ALT_TEXT: Final = say("What the pictures are becoming")
_PREVIEW_NAME: Final = "preview"
_SMALLER: Final = ".webp"  # a picture whose PNG is too large for its channel
_ROUND_TO_S: Final = 10
_ROW: Final = 5  # what chats show beside each other

ActionKind = Literal[
    "cancel",
    "show",
    "upscale",
    "strong",
    "reroll",
    "edit",
    "open",
    "recipe",
    "publish",
    "blur",
    "unblur",
    "delete",
]
# Of one picture that is looked at alone, beside what cards have.
LookKind = Literal["look", "like", "unlike", "subtle"]


@dataclass(frozen=True, slots=True)
class Link:
    """Somebody or something that a home shows as its own link, and tells nobody of."""

    kind: Literal["person", "channel", "role"]
    id: str

    def __str__(self) -> str:
        return self.id


@dataclass(frozen=True, slots=True)
class Moment:
    """A point in time, in seconds since 1970, that a home shows so that it counts down or up."""

    at_s: int

    def __str__(self) -> str:
        return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(self.at_s))


class Date(Moment):
    """A point in time that a home shows as a date and the time of day."""


_STATES: Final[Mapping[State, str]] = {
    State.QUEUED: say("queued"),
    State.RUNNING: say("running"),
    State.REVIEW: say("with the moderators"),
    State.DRAWN: say("drawn"),
    State.DELIVERED: say("delivered"),
    State.UNDELIVERED: say("undelivered"),
    State.CANCELLED: say("cancelled"),
    State.FAILED: say("failed"),
    State.REJECTED: say("rejected"),
}


@dataclass(frozen=True, slots=True)
class Slot:
    """A picture on a card: a file, and what a screen reader says of it.

    data     the file; None: the card has it already
    spoiler  blurred until somebody looks
    """

    filename: str
    alt_text: str
    data: bytes | None = field(repr=False)
    spoiler: bool = False


@dataclass(frozen=True, slots=True)
class Action:
    """Something that may be pressed.

    index  of the picture that is meant, from 0; None: the whole job
    """

    kind: Literal[ActionKind, LookKind]
    job_id: str
    label: str
    index: int | None = None


Rows = tuple[tuple[Action, ...], ...]


@dataclass(frozen=True, slots=True)
class Card:
    """The whole card, its texts to be said in the language of the one who asked.

    status           the first line, with a `Moment` perhaps; empty once the pictures speak for
                     themselves
    progress         steps done, of how many; None where nothing is drawn
    prompt           what people typed: to be shown, never to be read as markup; empty where it is
                     not to be shown any more
    negative_prompt  likewise; None where there is none
    fields           the settings, each a few words
    pictures         None leaves those that are there as they are
    actions          what may be pressed now, in rows of what belongs together
    """

    status: str
    prompt: str
    negative_prompt: str | None
    fields: tuple[str, ...]
    progress: tuple[int, int] | None = None
    pictures: tuple[Slot, ...] | None = None
    actions: Rows = ()


def progress_card(job: Job, stage: Stage, position: Position | None, now_s: float) -> Card:
    """The card of a job that is not over yet.

    position  of a waiting one
    now_s     seconds since 1970
    """
    may_cancel = isinstance(stage, Waiting | Drawing | InReview)
    actions = ((Action("cancel", job.id, say("Cancel")),),) if may_cancel else ()
    match stage:
        case Waiting() if position is not None:
            return _card(job, _waiting(stage, position, now_s), actions=actions)
        case Waiting():  # taken this moment: no edit for that
            steps = job.wish.num_inference_steps or 1
            return _card(job, _drawing(0, steps), progress=(0, steps), actions=actions)
        case Drawing(step, steps):
            return _card(job, _drawing(step, steps), progress=(step, steps), actions=actions)
        case InReview():
            review = say("Drawn. A moderator looks at the pictures before they are shown.")
            return _card(job, _marked("👀", review), pictures=(), actions=actions)
        case Uploading():
            return _card(job, _marked("📤", say("Drawn. Uploading the pictures.")))
        case Paused(sentence):
            return _card(job, _marked("⏸️", sentence))


def finished_card(job: Job, pictures: tuple[Picture, ...]) -> Card:
    """The settings, the pictures, each with what a screen reader says of it, and what to press."""
    return _shown(job, tuple((one.index, one.filename, one.data) for one in pictures))


def standing_card(record: Record) -> Card:
    """The finished card of a job as it is to be shown now, with the files that are there."""
    return _shown(record.job, tuple((one.index, one.filename, None) for one in record.images))


def deleted_card(record: Record) -> Card:
    """What is left of a card whose pictures were deleted: by whom, and of which job."""
    status = _marked("🗑️", record.deleted or "")
    return Card(status, "", None, (_named(record.job),), pictures=())


def failed_card(job: Job, sentence: str) -> Card:
    """The card of a job that ended without pictures; `sentence` says why and what to do."""
    return _card(job, _marked(FAILURE_MARK, sentence), pictures=())


def preview_slot(job: Job, extension: str, data: bytes) -> Slot:
    """The one file of all previews."""
    filename = f"{job.id}_{_PREVIEW_NAME}.{extension}"
    return Slot(filename, PREVIEW_ALT_TEXT, data, job.showing.spoiler)


def is_preview(filename: str) -> bool:
    """Whether a card's file is not a finished picture."""
    return f"_{_PREVIEW_NAME}." in filename


def listed(record: Record, position: Position | None, now_s: float) -> str:
    """How a job stands, in a list of them."""
    if position is not None:
        ready = _ready(position, now_s)
        if ready is None:
            return say("number {place} in the queue", place=position.place)
        return say("number {place} in the queue, ready {ready}", place=position.place, ready=ready)
    if record.deleted is not None:
        return record.deleted
    if record.state is State.UNDELIVERED:
        return say("drawn, but not shown. {reason}", reason=record.reason)
    return record.reason or _STATES[record.state]


def actions_of(record: Record) -> tuple[Action, ...]:
    """What the one who asked may press beside a job in a list."""
    job_id = record.job.id
    if record.state in UNFINISHED:
        return (Action("cancel", job_id, say("Cancel {job}", job=job_id)),)
    if record.state is State.UNDELIVERED:
        return (Action("show", job_id, say("Pictures of {job}", job=job_id)),)
    return ()


def alt_text(wish: Wish, index: int) -> str:
    """What a screen reader says of picture `index` (from 0); a long prompt loses its end first."""
    return say(
        "Picture {number} of {total}: {prompt}",
        number=index - wish.first_index + 1,
        total=str(wish.num_images),
        prompt=" ".join(wish.prompt.split()),
    )


def settings(wish: Wish) -> tuple[str, ...]:
    """The settings for people to read, each a few words; what is still open is not among them."""
    words: list[str] = []
    if wish.seed is not None:
        words.append(say("Seed {seed}", seed=wish.seed))
    if wish.num_inference_steps is not None:
        steps = wish.num_inference_steps
        words.append(say_many("{count} step", "{count} steps", steps))
    if wish.guidance_scale is not None:
        words.append(say("guidance {scale:g}", scale=wish.guidance_scale))
    if wish.guidance_rescale:
        words.append(say("guidance rescale {rescale:g}", rescale=wish.guidance_rescale))
    if wish.guidance_interval != WHOLE:
        start, stop = wish.guidance_interval
        words.append(say("guided from {start:g} to {stop:g}", start=start, stop=stop))
    if wish.size_px is not None:
        larger = wish.upscale or 1
        words.append(format_size(*(round(side * larger) for side in wish.size_px)))
    way = [_title_of_sampler(wish), _title_of_spacing(wish)]
    if any(way):
        words.append(" ".join(filter(None, way)))
    if wish.timesteps is not None:
        words.append(say("timesteps {steps}", steps=format_timesteps(wish.timesteps)))
    if wish.loras:
        words.append(say("LoRA {loras}", loras=loras.written(wish.loras)))
    if wish.style is not None:
        words.append(say("style {style}", style=wish.style))
    if wish.model is not None:
        words.append(say("model {model}", model=wish.model))
    words += _started_from(wish)
    if wish.left_out:
        flags = ", ".join(wish.left_out)
        words.append(say("left out, as nobody here knows it: {flags}", flags=flags))
    return tuple(words)


def _started_from(wish: Wish) -> Iterator[str]:
    if wish.upscale is not None:
        yield say("{times:g} times as large", times=wish.upscale)
    elif wish.source is not None:
        yield say("from a picture, strength {strength:g}", strength=wish.source[1])
    if wish.variation is not None:
        yield say("varied by {strength:g}", strength=wish.variation[1])


def _title_of_sampler(wish: Wish) -> str:
    return "" if wish.sampler is None else SAMPLERS.get(wish.sampler, wish.sampler)


def _title_of_spacing(wish: Wish) -> str:
    return "" if wish.spacing is None else SPACINGS.get(wish.spacing, wish.spacing)


def _credit(job: Job) -> Iterator[str]:
    if job.showing.private:
        yield say("only you see this")
    elif job.parent is not None and job.parent.act == "publish":
        yield say("published by {name}", name=job.person.name)


def _card(
    job: Job,
    status: str,
    *,
    progress: tuple[int, int] | None = None,
    pictures: tuple[Slot, ...] | None = None,
    actions: Rows = (),
) -> Card:
    return Card(
        status=status,
        prompt=job.wish.prompt,
        negative_prompt=job.wish.negative_prompt,
        fields=(*settings(job.wish), *_credit(job), _named(job)),
        progress=progress,
        pictures=pictures,
        actions=actions,
    )


def _shown(job: Job, files: tuple[tuple[int, str, bytes | None], ...]) -> Card:
    slots = tuple(
        Slot(filename, alt_text(job.wish, index), data, job.showing.spoiler)
        for index, filename, data in files
    )
    indices = tuple(index for index, _, _ in files)
    shown = _card(job, "", pictures=slots, actions=_finished_actions(job, indices))
    if any(one.filename.endswith(_SMALLER) for one in slots):
        shown = replace(shown, fields=(*shown.fields, say("as WebP, to fit into a message here")))
    return shown


def _finished_actions(job: Job, indices: tuple[int, ...]) -> Rows:
    def each(kind: ActionKind, label: str) -> tuple[Action, ...]:
        if len(indices) == 1:
            return (Action(kind, job.id, label, indices[0]),)
        return tuple(
            Action(kind, job.id, say("{label} {number}", label=label, number=index + 1), index)
            for index in indices
        )

    if not indices:
        return ()
    larger = () if job.wish.upscale is not None else each("upscale", say("⤢ Larger"))
    alike = each("strong", say("🎲 Alike"))
    if job.showing.private:
        seen_by = Action("publish", job.id, say("📢 Publish"))
    elif job.showing.spoiler:
        seen_by = Action("unblur", job.id, say("👁️ Unblur"))
    else:
        seen_by = Action("blur", job.id, say("🌫️ Blur"))
    anew = (
        Action("reroll", job.id, say("🔁 Again")),
        Action("edit", job.id, say("✏️ Edit")),
        Action("open", job.id, say("🔍 Look"), indices[0]),
    )
    kept = (
        Action("recipe", job.id, say("📋 Recipe")),
        seen_by,
        Action("delete", job.id, say("🗑️ Delete")),
    )
    # What stands for one picture needs no row of its own.
    each_one = ((*larger, *alike),) if len(indices) == 1 else (larger, alike)
    rows = (*each_one, anew, kept)  # no more than three: a phone shows them beside each other
    return tuple(row[first : first + _ROW] for row in rows for first in range(0, len(row), _ROW))


def _named(job: Job) -> str:
    return say("job {job}", job=job.id)


def _marked(mark: str, sentence: str) -> str:
    """A sentence behind a sign that stands first in every language."""
    return say("{mark} {sentence}", mark=mark, sentence=sentence)


def _drawing(step: int, steps: int) -> str:
    return say("step {step} of {steps}", step=step, steps=steps)


def _waiting(stage: Waiting, position: Position, now_s: float) -> str:
    ready = _ready(position, now_s)
    if ready is None:
        place = say("Number {place} in the queue.", place=position.place)
    else:
        place = say(
            "Number {place} in the queue, ready {ready}.", place=position.place, ready=ready
        )
    restored = say("The bot was restarted, and your place was kept.") if stage.restored else ""
    warming_up = say("The engine is warming up.") if stage.warming_up else ""
    return _marked("⏳", sentences(restored, warming_up, place))


def _ready(position: Position, now_s: float) -> Moment | None:
    if position.ready_in_s is None:
        return None
    # Rounded, so that a card is not edited for the sake of a second. The home counts down.
    return Moment(math.ceil((now_s + position.ready_in_s) / _ROUND_TO_S) * _ROUND_TO_S)
