"""What a card says, as data: the message that tells where a job stands and becomes its pictures.

Pure functions of a job and where it stands. A home renders a card in its own markup, cuts what is
too long for it, and makes what people typed harmless there.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Final, Literal

from bot.core import loras
from bot.core.job import Job, Record, State
from bot.core.ports.gallery import Picture
from bot.core.queue.waiting import Position
from bot.core.stage import Drawing, Paused, Stage, Uploading, Waiting
from bot.core.wish import WHOLE, Wish
from sdxl_engine.request import SAMPLERS, SPACINGS, format_size, format_timesteps

FAILURE_MARK: Final = "⚠️"
PREVIEW_ALT_TEXT: Final = "What the pictures are becoming"
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


@dataclass(frozen=True, slots=True)
class Moment:
    """A point in time, in seconds since 1970, that a home shows so that it counts down or up."""

    at_s: int


Words = tuple[str | Moment, ...]


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

    kind: ActionKind
    job_id: str
    label: str
    index: int | None = None


Rows = tuple[tuple[Action, ...], ...]


@dataclass(frozen=True, slots=True)
class Card:
    """The whole card.

    status           the first line; empty once the pictures speak for themselves
    progress         steps done, of how many; None where nothing is drawn
    prompt           what people typed: to be shown, never to be read as markup; empty where it is
                     not to be shown any more
    negative_prompt  likewise; None where there is none
    fields           the settings, each a few words
    pictures         None leaves those that are there as they are
    actions          what may be pressed now, in rows of what belongs together
    """

    status: Words
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
    may_cancel = isinstance(stage, Waiting | Drawing)
    actions = ((Action("cancel", job.id, "Cancel"),),) if may_cancel else ()
    match stage:
        case Waiting() if position is not None:
            return _card(job, _waiting(stage, position, now_s), actions=actions)
        case Waiting():  # taken this moment: no edit for that
            steps = job.wish.num_inference_steps or 1
            return _card(job, _drawing(0, steps), progress=(0, steps), actions=actions)
        case Drawing(step, steps):
            return _card(job, _drawing(step, steps), progress=(step, steps), actions=actions)
        case Uploading():
            return _card(job, ("📤 Drawn. Uploading the pictures.",))
        case Paused(sentence):
            return _card(job, (f"⏸️ {sentence}",))


def finished_card(job: Job, pictures: tuple[Picture, ...]) -> Card:
    """The settings, the pictures, each with what a screen reader says of it, and what to press."""
    return _shown(job, tuple((one.index, one.filename, one.data) for one in pictures))


def standing_card(record: Record) -> Card:
    """The finished card of a job as it is to be shown now, with the files that are there."""
    return _shown(record.job, tuple((one.index, one.filename, None) for one in record.images))


def deleted_card(record: Record) -> Card:
    """What is left of a card whose pictures were deleted: by whom, and of which job."""
    return Card((f"🗑️ {record.deleted}",), "", None, (f"job {record.job.id}",), pictures=())


def failed_card(job: Job, sentence: str) -> Card:
    """The card of a job that ended without pictures; `sentence` says why and what to do."""
    return _card(job, (f"{FAILURE_MARK} {sentence}",), pictures=())


def preview_slot(job: Job, extension: str, data: bytes) -> Slot:
    """The one file of all previews."""
    filename = f"{job.id}_{_PREVIEW_NAME}.{extension}"
    return Slot(filename, PREVIEW_ALT_TEXT, data, job.showing.spoiler)


def is_preview(filename: str) -> bool:
    """Whether a card's file is not a finished picture."""
    return f"_{_PREVIEW_NAME}." in filename


def listed(record: Record, position: Position | None, now_s: float) -> Words:
    """How a job stands, in a list of them."""
    if position is not None:
        return (f"number {position.place} in the queue", *_until(position, now_s))
    if record.state is State.UNDELIVERED:
        return (f"drawn, but not shown. {record.reason}",)
    return (record.reason or record.state.value,)


def actions_of(record: Record) -> tuple[Action, ...]:
    """What the one who asked may press beside a job in a list."""
    job_id = record.job.id
    if record.state in {State.QUEUED, State.RUNNING}:
        return (Action("cancel", job_id, f"Cancel {job_id}"),)
    if record.state is State.UNDELIVERED:
        return (Action("show", job_id, f"Pictures of {job_id}"),)
    return ()


def alt_text(wish: Wish, index: int) -> str:
    """What a screen reader says of picture `index` (from 0); a long prompt loses its end first."""
    return f"Picture {index + 1} of {wish.num_images}: {' '.join(wish.prompt.split())}"


def settings(wish: Wish) -> tuple[str, ...]:
    """The settings for people to read, each a few words; what is still open is not among them."""
    words = []
    if wish.seed is not None:
        words.append(f"Seed {wish.seed}")
    if wish.num_inference_steps is not None:
        steps = wish.num_inference_steps
        words.append("1 step" if steps == 1 else f"{steps} steps")
    if wish.guidance_scale is not None:
        words.append(f"guidance {wish.guidance_scale:g}")
    if wish.guidance_rescale:
        words.append(f"guidance rescale {wish.guidance_rescale:g}")
    if wish.guidance_interval != WHOLE:
        words.append("guided from {:g} to {:g}".format(*wish.guidance_interval))
    if wish.size_px is not None:
        words.append(format_size(*wish.size_px))
    way = [_title_of_sampler(wish), _title_of_spacing(wish)]
    if any(way):
        words.append(" ".join(filter(None, way)))
    if wish.timesteps is not None:
        words.append(f"timesteps {format_timesteps(wish.timesteps)}")
    if wish.loras:
        words.append(f"LoRA {loras.written(wish.loras)}")
    if wish.style is not None:
        words.append(f"style {wish.style}")
    if wish.model is not None:
        words.append(f"model {wish.model}")
    words += _started_from(wish)
    if wish.left_out:
        words.append(f"left out, as nobody here knows it: {', '.join(wish.left_out)}")
    return tuple(words)


def _started_from(wish: Wish) -> Iterator[str]:
    if wish.upscale is not None:
        yield f"{wish.upscale:g} times as large"
    elif wish.source is not None:
        yield f"from a picture, strength {wish.source[1]:g}"
    if wish.variation is not None:
        yield f"varied by {wish.variation[1]:g}"


def _title_of_sampler(wish: Wish) -> str:
    return "" if wish.sampler is None else SAMPLERS.get(wish.sampler, wish.sampler)


def _title_of_spacing(wish: Wish) -> str:
    return "" if wish.spacing is None else SPACINGS.get(wish.spacing, wish.spacing)


def _credit(job: Job) -> Iterator[str]:
    if job.showing.private:
        yield "only you see this"
    elif job.parent is not None and job.parent.act == "publish":
        yield f"published by {job.person.name}"


def _card(
    job: Job,
    status: Words,
    *,
    progress: tuple[int, int] | None = None,
    pictures: tuple[Slot, ...] | None = None,
    actions: Rows = (),
) -> Card:
    return Card(
        status=status,
        prompt=job.wish.prompt,
        negative_prompt=job.wish.negative_prompt,
        fields=(*settings(job.wish), *_credit(job), f"job {job.id}"),
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
    shown = _card(job, (), pictures=slots, actions=_finished_actions(job, indices))
    if any(one.filename.endswith(_SMALLER) for one in slots):
        shown = replace(shown, fields=(*shown.fields, "as WebP, to fit into a message here"))
    return shown


def _finished_actions(job: Job, indices: tuple[int, ...]) -> Rows:
    def each(kind: ActionKind, mark: str) -> tuple[Action, ...]:
        numbers = [""] if len(indices) == 1 else [f" {index + 1}" for index in indices]
        return tuple(
            Action(kind, job.id, f"{mark}{number}", index)
            for number, index in zip(numbers, indices, strict=True)
        )

    if not indices:
        return ()
    larger = () if job.wish.upscale is not None else each("upscale", "⤢ Larger")
    alike = each("strong", "🎲 Alike")
    if job.showing.private:
        seen_by = Action("publish", job.id, "📢 Publish")
    elif job.showing.spoiler:
        seen_by = Action("unblur", job.id, "👁️ Unblur")
    else:
        seen_by = Action("blur", job.id, "🌫️ Blur")
    anew = (
        Action("reroll", job.id, "🔁 Again"),
        Action("edit", job.id, "✏️ Edit"),
        Action("open", job.id, "🔍 Look", indices[0]),
    )
    kept = (Action("recipe", job.id, "📋 Recipe"), seen_by, Action("delete", job.id, "🗑️ Delete"))
    # What stands for one picture needs no row of its own.
    each_one = ((*larger, *alike),) if len(indices) == 1 else (larger, alike)
    rows = (*each_one, anew, kept)  # no more than three: a phone shows them beside each other
    return tuple(row[first : first + _ROW] for row in rows for first in range(0, len(row), _ROW))


def _drawing(step: int, steps: int) -> Words:
    return (f"step {step} of {steps}",)


def _waiting(stage: Waiting, position: Position, now_s: float) -> Words:
    parts = ["⏳"]
    if stage.restored:
        parts.append("The bot was restarted, and your place was kept.")
    if stage.warming_up:
        parts.append("The engine is warming up.")
    parts.append(f"Number {position.place} in the queue")
    return (" ".join(parts), *_until(position, now_s), ".")


def _until(position: Position, now_s: float) -> Words:
    if position.ready_in_s is None:
        return ()
    # Rounded, so that a card is not edited for the sake of a second. The home counts down.
    ready_at_s = math.ceil((now_s + position.ready_in_s) / _ROUND_TO_S) * _ROUND_TO_S
    return (", ready ", Moment(ready_at_s))
