"""A card as Discord shows it: a layout of its text, its pictures, its buttons (Components V2).

Whatever people typed stands in a code block, where Discord reads neither mentions nor markup, and
nothing is ever longer than it may be. A message that became a layout stays one, so whoever edits a
card sends a layout, and takes away what an earlier version's card said in plain text.
"""

import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import unquote, urlsplit

import discord
from discord.ui import Container, LayoutView, MediaGallery, TextDisplay

from bot.core import card, shelf
from bot.core.card import FAILURE_MARK, Card, Moment, Slot
from bot.core.job import Parent, Record
from bot.core.options import options
from bot.core.recipe.facts import facts
from bot.core.recipe.recipe import Recipe
from bot.core.studio import Listed, OnPage
from bot.homes.discord.buttons import button_rows
from bot.homes.discord.voice import Voice, shown
from sdxl_engine.sentence import say, sentences

MAX_MESSAGE_UNITS: Final = 2_000
MAX_LAYOUT_UNITS: Final = 4_000  # of all texts of a layout together
MAX_ALT_TEXT_UNITS: Final = 1_024
_BAR_CELLS: Final = 20
_MAX_SENTENCE_UNITS: Final = 600
_MAX_FACT_UNITS: Final = 400  # three leave room for the prompt
_MAX_FIELD_UNITS: Final = 200  # eight names of LoRAs would leave no room for the prompt
_MAX_PROMPT_IN_LIST: Final = 60  # eight of each fit a message
_MAX_STATE_IN_LIST: Final = 120
_EMPTY: Final = say("(empty)")
_ZERO_WIDTH_SPACE: Final = "\u200b"
_HARMLESS_BACKTICK: Final = "\u02cb"  # looks the same, ends no code block
_LINE_BREAKS: Final = re.compile(r"[\r\n\v\f\x85\u2028\u2029]+")
_DIRECTIONS: Final = re.compile("[\u202a-\u202e\u2066-\u2069]")
_MARKUP: Final = re.compile(r"[\\*_~|]")
# Between these Discord reads no mention (@...), nothing in angle brackets (<...>), no link of its
# own ([...](...)), no address (https://..., discord.gg/...).
_LIVE: Final = re.compile(r"(?<=[@<])|(?<=\])(?=\()|(?<=:)(?=//)|(?<=\w)(?=\.[^\W\d])")


@dataclass(frozen=True, slots=True)
class Seen:
    """A file of a message, and how it is shown."""

    filename: str
    alt_text: str
    spoiler: bool


def seen(slots: tuple[Slot, ...], voice: Voice) -> tuple[Seen, ...]:
    """How pictures are shown, once their files are there."""
    return tuple(Seen(one.filename, voice.say(one.alt_text), one.spoiler) for one in slots)


def card_layout(one: Card, pictures: tuple[Seen, ...], voice: Voice) -> LayoutView:
    """A card, with pictures whose files are there or come with it."""
    parts: list[Any] = [TextDisplay(card_text(one, voice, MAX_LAYOUT_UNITS))]
    if pictures:
        parts.append(gallery(pictures))
    view = LayoutView(timeout=None)
    view.add_item(Container(*parts, *button_rows(one.actions, voice)))
    return view


def gallery(pictures: Iterable[Seen]) -> MediaGallery[Any]:
    """Pictures beside each other, each with what a screen reader says of it."""
    beside: MediaGallery[Any] = MediaGallery()
    for picture in pictures:
        beside.add_item(
            media=f"attachment://{picture.filename}",
            description=cut(picture.alt_text, MAX_ALT_TEXT_UNITS) or None,
            spoiler=picture.spoiler,
        )
    return beside


def page_line(place: int, one: OnPage, voice: Voice) -> str:
    """One picture in a list of them."""
    prompt = _one_line(one.record.job.wish.prompt).replace("`", _HARMLESS_BACKTICK)
    lost = "" if one.thumbnail else f" · {voice.say(shelf.LOST)}"
    return f"`{place}` `{cut(prompt, _MAX_PROMPT_IN_LIST)}`{lost}"


def text_of(message: discord.Message) -> str:
    """What a card says, as a layout or in an earlier version's plain text."""
    texts = [one.content for one in _parts(message) if isinstance(one, discord.TextDisplay)]
    return "\n".join(filter(None, [message.content, *texts]))


def files_of(message: discord.Message) -> tuple[str, ...]:
    """The names of a card's files: what a layout shows is not among a message's attachments."""
    shown = (name_in(media.url) for media in media_of(message))
    return (*(file.filename for file in message.attachments), *shown)


def media_of(message: discord.Message) -> list[discord.UnfurledMediaItem]:
    """What the galleries of a message show."""
    galleries = [one for one in _parts(message) if isinstance(one, discord.MediaGalleryComponent)]
    return [item.media for one in galleries for item in one.items]


def name_in(url: str) -> str:
    """A file's name in its address."""
    return unquote(urlsplit(url).path.rpartition("/")[2])


def _parts(message: discord.Message) -> Iterator[discord.Component]:
    """What a card's container holds."""
    for component in message.components:
        yield from component.children if isinstance(component, discord.Container) else [component]


def card_text(one: Card, voice: Voice, max_units: int = MAX_MESSAGE_UNITS) -> str:
    """The text of a card."""
    status = words(one.status, voice, _MAX_SENTENCE_UNITS)
    if one.progress is not None:
        step, steps = one.progress
        done = _BAR_CELLS * step // steps
        status = f"🎨 `{'█' * done}{'░' * (_BAR_CELLS - done)}` {status}"
    foot = " · ".join(_field(field, voice) for field in one.fields)
    label = voice.say(say("Stay away from:"))
    # The newlines between at most five parts.
    room = max_units - units(status) - units(foot) - units(label) - 5
    parts = [status, _typed(one.prompt, voice, room) if one.prompt else ""]
    if one.negative_prompt is not None:
        # What one of the two does not need, the other may have.
        left = room - units(_typed(one.negative_prompt, voice, max_units))
        prompt = _typed(one.prompt, voice, max(room // 2, left))
        unwanted = _typed(one.negative_prompt, voice, room - units(prompt))
        parts = [status, prompt, label, unwanted]
    return "\n".join(part for part in [*parts, foot] if part)


def is_end(text: str, job_id: str) -> bool:
    """Whether a card's text says how this job ended."""
    return text.startswith(FAILURE_MARK) and is_of(text, job_id)


def is_of(text: str, job_id: str) -> bool:
    """Whether a text is this job's card."""
    return job_id in text  # in whatever language it is called a job


def files(slots: tuple[Slot, ...] | None, voice: Voice) -> Any:  # noqa: ANN401 - discord.py's MISSING is Any
    """Pictures as discord.py sends them; None leaves those that are there."""
    if slots is None or any(one.data is None for one in slots):
        return discord.utils.MISSING
    return [
        discord.File(
            io.BytesIO(one.data or b""),
            one.filename,
            description=cut(voice.say(one.alt_text), MAX_ALT_TEXT_UNITS),
        )
        for one in slots
    ]


def size_bytes(slots: tuple[Slot, ...] | None) -> int:
    """Of all files that are sent with them."""
    return sum(len(one.data or b"") for one in slots or ())


def refused_text(
    sentence: str, again_at_s: float | None, again: Mapping[str, str], voice: Voice
) -> str:
    """Why a command was not taken, and the command, to be sent again without typing it anew.

    again  its options
    """
    if again_at_s is not None:
        when = Moment(int(again_at_s) + 1)
        sentence = sentences(sentence, say("There is room again {when}.", when=when))
    head = f"{failure_text(sentence, voice)}\n{voice.say(say('To ask again:'))}"
    return f"{head}\n{_command(again, MAX_MESSAGE_UNITS - units(head) - 1)}"


def recipe_text(line: Sequence[Record], voice: Voice, index: int | None = None) -> str:
    """Everything to draw a job again, and where it comes from.

    line   the job, what it was made of, and so on
    index  of the one picture that is meant; None: all of them
    """
    job = line[0].job
    parts = [
        _made_of(f"`{record.job.id}`", record.job.parent)
        for record in line
        if record.job.parent is not None
    ]
    if job.wish.source is not None or job.wish.variation is not None:
        parts.insert(0, say("The command has its words, but not the picture it started from."))
    if job.wish.first_index:  # one alone of several
        index = job.wish.first_index
    if index is not None and (index or job.wish.num_images != 1):
        parts.insert(0, say("It is picture {number} of those that this draws.", number=index + 1))
    origin = cut("\n".join(map(voice.say, parts)), _MAX_SENTENCE_UNITS)
    settings = " · ".join(_harmless(voice.say(one)) for one in card.settings(job.wish))
    foot = "\n".join(part for part in (cut(settings, _MAX_SENTENCE_UNITS), origin) if part)
    command = _command(options(job.wish), MAX_MESSAGE_UNITS - units(foot) - 1)
    return f"{command}\n{foot}"


def _made_of(job: str, parent: Parent) -> str:
    of = f"`{parent.job_id}`"
    if parent.index is not None:
        of = say("picture {number} of {job}", number=parent.index + 1, job=of)
    match parent.act:
        case "reroll":
            return say("{job} was drawn again from {of}", job=job, of=of)
        case "vary":
            return say("{job} was made alike to {of}", job=job, of=of)
        case "upscale":
            return say("{job} was made larger from {of}", job=job, of=of)
        case "edit":
            return say("{job} was edited from {of}", job=job, of=of)
        case "begin":
            return say("{job} was begun from {of}", job=job, of=of)
        case "publish":
            return say("{job} was published from {of}", job=job, of=of)


def file_recipe_text(recipe: Recipe, voice: Voice) -> str:
    """What a picture's file says of how it was drawn, and what to type for the like of it."""
    lines = [
        f"**{voice.say(label)}** {cut(_harmless(voice.say(value)), _MAX_FACT_UNITS)}"
        for label, value in facts(recipe)
    ]
    room = MAX_MESSAGE_UNITS - sum(units(one) + 1 for one in lines)
    if recipe.wish is None:
        return "\n".join([*lines, _typed(recipe.text, voice, room)])
    return "\n".join([*lines, _command(options(recipe.wish), room)])


def failure_text(sentence: str, voice: Voice) -> str:
    """A sentence as the bot says it where there is no job: marked, and without mentions."""
    return f"{FAILURE_MARK} {words(sentence, voice, _MAX_SENTENCE_UNITS)}"


def list_line(listed: Listed, now_s: float, voice: Voice) -> str:
    """One job in a list of them, on two lines."""
    record, job = listed.record, listed.record.job
    state = words(card.listed(record, listed.position, now_s), voice, _MAX_STATE_IN_LIST)
    prompt = _one_line(job.wish.prompt).replace("`", _HARMLESS_BACKTICK)
    head = f"`{job.id}` {shown(Moment(int(job.asked_at_s)))} · {state}"
    return f"{head}\n`{cut(prompt, _MAX_PROMPT_IN_LIST)}`"


def cut(text: str, max_units: int) -> str:
    """The text, or its beginning and "…", in at most `max_units` UTF-16 code units.

    Discord's clients count UTF-16 code units, its API characters; the former are never fewer.
    """
    if units(text) <= max_units:
        return text
    kept: list[str] = []
    left = max_units - 1
    for char in text:
        left -= units(char)
        if left < 0:
            break
        kept.append(char)
    return "".join(kept).rstrip() + "…"


def words(text: str, voice: Voice, max_units: int) -> str:
    """A text as people see it, without markup of anybody's, in so many units at most."""
    # A moment is cut off whole or not at all: half of its markup would be read as text.
    whole = ""
    for part in voice.pieces(text):
        room = max_units - units(whole)
        said = cut(_harmless(part), room) if isinstance(part, str) else shown(part)
        if units(said) > room:
            break
        whole += said
    return whole


def _field(words: str, voice: Voice) -> str:
    return _harmless(cut(voice.say(words), _MAX_FIELD_UNITS))


def plain(text: str) -> str:
    """What people typed, as part of a sentence: no longer than one, and harmless."""
    return cut(_harmless(text), _MAX_SENTENCE_UNITS)


def _harmless(sentence: str) -> str:
    """A text that shows as it stands: no markup, no mention, and no link, whoever typed it."""
    text = _LINE_BREAKS.sub(" ", _readable(sentence)).replace("`", _HARMLESS_BACKTICK)
    return _LIVE.sub(_ZERO_WIDTH_SPACE, _MARKUP.sub(r"\\\g<0>", text))


def _command(options: Mapping[str, str], max_units: int) -> str:
    """What to type to ask for something, to be copied."""
    typed = " ".join(f"{name}:{value}" for name, value in options.items())
    return code(f"/imagine {typed}", max_units)


def _typed(text: str, voice: Voice, max_units: int) -> str:
    """What people typed, or that they typed nothing."""
    return code(_one_line(text) or voice.say(_EMPTY), max_units)


def code(text: str, max_units: int = MAX_MESSAGE_UNITS) -> str:
    """What people typed, on one line, where Discord reads neither mentions nor markup."""
    fence = "```"
    inside = _one_line(text).replace("`", _HARMLESS_BACKTICK)
    return f"{fence}\n{cut(inside, max_units - 2 * len(fence) - 2)}\n{fence}"


def quoted(text: str, max_units: int) -> str:
    """What stands in code within a line, in so many units at most."""
    inside = _one_line(text).replace("`", _HARMLESS_BACKTICK)
    return f"`{cut(inside, max_units - 2)}`" if inside else ""


def _one_line(text: str) -> str:
    # A thousand line breaks would make the card as tall as the channel.
    return " ".join(_readable(text).split())


def _readable(text: str) -> str:
    # Half of a surrogate pair, which an interaction can hold, is no text: Discord would refuse the
    # whole message. And what turns the direction of writing turns that of our own words as well.
    return _DIRECTIONS.sub("", text.encode("utf-8", "replace").decode())


def units(text: str) -> int:
    """The UTF-16 code units of a text."""
    return len(text.encode("utf-16-le")) // 2
