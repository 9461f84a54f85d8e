"""The words of a card: the one message that says where a job stands and becomes its pictures.

Pure functions of a job and its state. Whatever people typed stands in a code block, where Discord
reads neither mentions nor markup, and a card is never longer than a message may be.
"""

import math
from typing import Final

from bot.core.job import Job, Record, State
from bot.core.queue.waiting import Position
from bot.core.stage import Drawing, Paused, Stage, Uploading, Waiting
from sdxl_engine import ImageRequest, format_size
from sdxl_engine.request import DEFAULT_SAMPLER, SAMPLERS, SPACINGS

MAX_MESSAGE_UNITS: Final = 2_000
MAX_ALT_TEXT_UNITS: Final = 1_024
FAILURE_MARK: Final = "⚠️"
PREVIEW_ALT_TEXT: Final = "What the pictures are becoming"
_PREVIEW_NAME: Final = "preview"
_BAR_CELLS: Final = 20
_MAX_SENTENCE_UNITS: Final = 600
_ROUND_TO_S: Final = 10
_MAX_PROMPT_IN_LIST: Final = 60  # eight of each fit a message
_MAX_STATE_IN_LIST: Final = 120
_ZERO_WIDTH_SPACE: Final = "\u200b"
_HARMLESS_BACKTICK: Final = "\u02cb"  # looks the same, ends no code block


def progress_card(job: Job, stage: Stage, position: Position | None, now_s: float) -> str:
    """The card of a job that is not over yet.

    position  of a waiting one
    now_s     seconds since 1970
    """
    if isinstance(stage, Waiting) and position is None:  # taken this moment: no edit for that
        stage = Drawing(0, job.request.num_inference_steps)
    return _card(job, _status(stage, position, now_s))


def finished_card(job: Job) -> str:
    """The text above the pictures."""
    return _card(job, "")


def failed_card(job: Job, sentence: str) -> str:
    """The card of a job that ended without pictures; `sentence` says why and what to do."""
    return _card(job, failure_text(sentence))


def refused_text(sentence: str, request: ImageRequest, *, size_known: bool) -> str:
    """Why a command was not taken, and the command, to be sent again without typing it anew."""
    head = f"{failure_text(sentence)}\nTo ask again:"
    command = ask_again(request, size_known=size_known)
    return f"{head}\n{_code(command, MAX_MESSAGE_UNITS - _units(head) - 1)}"


def failure_text(sentence: str) -> str:
    """A sentence as the bot says it where there is no job: marked, and without mentions."""
    return f"{FAILURE_MARK} {cut(_harmless(sentence), _MAX_SENTENCE_UNITS)}"


def ask_again(request: ImageRequest, *, size_known: bool) -> str:
    """The command that draws the same pictures."""
    parts = [f"/imagine prompt:{request.prompt}"]
    if request.negative_prompt:
        parts.append(f"negative_prompt:{request.negative_prompt}")
    parts.append(f"seed:{request.seed}")
    parts.append(f"steps:{request.num_inference_steps}")
    parts.append(f"guidance:{request.guidance_scale:g}")
    if size_known:
        parts.append(f"size:{format_size(request.width_px, request.height_px)}")
    if request.sampler != DEFAULT_SAMPLER:
        parts.append(f"sampler:{SAMPLERS[request.sampler]}")
    if request.spacing is not None:
        parts.append(f"spacing:{SPACINGS[request.spacing]}")
    return " ".join(parts)


def preview_name(job_id: str, extension: str) -> str:
    """What the file of the previews is called."""
    return f"{job_id}_{_PREVIEW_NAME}.{extension}"


def is_preview(filename: str) -> bool:
    """Whether a card's file is not a finished picture."""
    return f"_{_PREVIEW_NAME}." in filename


def list_line(record: Record, position: Position | None, now_s: float) -> str:
    """One job in a list of them, on two lines."""
    job = record.job
    state = record.state.value
    if position is not None:
        state = f"number {position.place} in the queue{_until(position, now_s)}"
    elif record.state is State.UNDELIVERED:
        state = f"drawn, but not shown. {_harmless(record.reason)}"
    elif record.reason:
        state = _harmless(record.reason)
    prompt = _one_line(job.request.prompt).replace("`", _HARMLESS_BACKTICK)
    head = f"`{job.id}` <t:{int(job.asked_at_s)}:R> · {cut(state, _MAX_STATE_IN_LIST)}"
    return f"{head}\n`{cut(prompt, _MAX_PROMPT_IN_LIST)}`"


def alt_text(request: ImageRequest, index: int) -> str:
    """What a screen reader says of picture `index` (from 0)."""
    end = f" (picture {index + 1} of {request.num_images})"
    return cut(_one_line(request.prompt), MAX_ALT_TEXT_UNITS - _units(end)) + end


def cut(text: str, max_units: int) -> str:
    """The text, or its beginning and "…", in at most `max_units` UTF-16 code units.

    Discord's clients count UTF-16 code units, its API characters; the former are never fewer.
    """
    if _units(text) <= max_units:
        return text
    kept: list[str] = []
    left = max_units - 1
    for char in text:
        left -= _units(char)
        if left < 0:
            break
        kept.append(char)
    return "".join(kept).rstrip() + "…"


def _card(job: Job, status: str) -> str:
    request = job.request
    steps = request.num_inference_steps
    settings = [
        f"Seed {request.seed}",
        "1 step" if steps == 1 else f"{steps} steps",
        f"guidance {request.guidance_scale:g}",
    ]
    if job.size_known:
        settings.append(format_size(request.width_px, request.height_px))
    if request.sampler != DEFAULT_SAMPLER or request.spacing is not None:
        way = [SAMPLERS[request.sampler], SPACINGS.get(request.spacing or "", "")]
        settings.append(" ".join(filter(None, way)))
    settings.append(f"job {job.id}")
    foot = " · ".join(settings)
    label = "Stay away from:"
    # The newlines between at most five parts.
    room = MAX_MESSAGE_UNITS - _units(status) - _units(foot) - _units(label) - 5
    parts = [status, _code(request.prompt, room)]
    if request.negative_prompt is not None:
        # What one of the two does not need, the other may have.
        left = room - _units(_code(request.negative_prompt))
        prompt = _code(request.prompt, max(room // 2, left))
        parts = [status, prompt, label, _code(request.negative_prompt, room - _units(prompt))]
    return "\n".join(part for part in [*parts, foot] if part)


def _status(stage: Stage, position: Position | None, now_s: float) -> str:
    match stage:
        case Waiting():
            assert position is not None  # noqa: S101 - seen to above
            return _waiting(stage, position, now_s)
        case Drawing(step, steps):
            done = _BAR_CELLS * step // steps
            bar = "█" * done + "░" * (_BAR_CELLS - done)
            return f"🎨 `{bar}` step {step} of {steps}"
        case Uploading():
            return "📤 Drawn. Uploading the pictures."
        case Paused(sentence):
            return f"⏸️ {sentence}"


def _waiting(stage: Waiting, position: Position, now_s: float) -> str:
    parts = ["⏳"]
    if stage.restored:
        parts.append("The bot was restarted, and your place was kept.")
    if stage.warming_up:
        parts.append("The engine is warming up.")
    parts.append(f"Number {position.place} in the queue{_until(position, now_s)}.")
    return " ".join(parts)


def _until(position: Position, now_s: float) -> str:
    if position.ready_in_s is None:
        return ""
    # Rounded, so that a card is not edited for the sake of a second. Discord's client counts down.
    ready_at_s = math.ceil((now_s + position.ready_in_s) / _ROUND_TO_S) * _ROUND_TO_S
    return f", ready <t:{ready_at_s}:R>"


def _harmless(sentence: str) -> str:
    return sentence.replace("`", _HARMLESS_BACKTICK).replace("@", "@" + _ZERO_WIDTH_SPACE)


def _code(text: str, max_units: int = MAX_MESSAGE_UNITS) -> str:
    fence = "```"
    inside = _one_line(text).replace("`", _HARMLESS_BACKTICK) or "(empty)"
    return f"{fence}\n{cut(inside, max_units - 2 * len(fence) - 2)}\n{fence}"


def _one_line(text: str) -> str:
    # A thousand line breaks would make the card as tall as the channel.
    return " ".join(text.split())


def _units(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2
