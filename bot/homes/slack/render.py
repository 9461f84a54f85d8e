"""A card as Slack shows it: blocks of its text, its pictures, its buttons (Block Kit).

Whatever people typed stands in plain text, where Slack reads neither mentions nor markup, and
nothing is ever longer than it may be.
"""

import itertools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from bot.core.card import FAILURE_MARK, Action, Card, Rows, Slot
from bot.homes.slack.buttons import action_id
from bot.homes.slack.voice import Voice, escaped
from sdxl_engine.sentence import say

Block = dict[str, Any]

_MAX_ALT_TEXT_CHARS: Final = 2_000
_MAX_FILE_ALT_TEXT_CHARS: Final = 1_000
MAX_SECTION_CHARS: Final = 3_000
_MAX_LINE_CHARS: Final = 1_000
_MAX_BLOCKS_CHARS: Final = 11_000  # of all texts of a message together
# All texts of a message together have some 12,000.
_MAX_STATUS_CHARS: Final = 2_000
_MAX_UNWANTED_CHARS: Final = 1_500
_MAX_CONTEXT_CHARS: Final = 2_000
_MAX_BUTTON_CHARS: Final = 75
_MAX_FALLBACK_CHARS: Final = 300
_MAX_FIELD_CHARS: Final = 200
_MAX_CAROUSEL_CARDS: Final = 10
_MAX_CARD_BUTTONS: Final = 3
_BAR_CELLS: Final = 20
_BLURRED: Final = ".blurred.jpg"  # behind the name of a picture that is shown so
_DIRECTIONS: Final = re.compile("[\u202a-\u202e\u2066-\u2069]")
_HARMLESS_BACKTICK: Final = "\u02cb"  # looks the same, ends no code
_ZERO_WIDTH_SPACE: Final = "\u200b"
# Before these Slack reads markup, a mention, an emoji or an address.
_LIVE: Final = re.compile(r"(?=[*_~`@])|(?<=:)(?=//)|(?<=:)(?=\w+:)|(?<=\w)(?=\.[^\W\d])")


def card_blocks(
    one: Card,
    slots: Sequence[Slot],
    files: Mapping[str, str],
    voice: Voice,
    asker: str = "",
    *,
    in_carousel: bool = False,
) -> list[Block]:
    """A card, with pictures whose files Slack has.

    files        the ids that Slack gave to them, by their names
    asker        the name of the one who asked: Slack shows nobody else what they typed
    in_carousel  several pictures stand beside each other, each with its own buttons below it
    """
    actions = one.actions
    pictures = [picture(slot, files[slot.filename], voice) for slot in slots]
    if in_carousel and 1 < len(slots) <= _MAX_CAROUSEL_CARDS:
        own, actions = _parted(actions, len(slots))
        pictures = [_carousel(pictures, own, voice)]
    blocks: list[Block] = []
    if (head := _status(one, voice)).strip():
        blocks.append(section(cut(head, _MAX_STATUS_CHARS)))
    blocks += _typed(one.prompt, MAX_SECTION_CHARS)
    if one.negative_prompt is not None:
        unwanted = f"{voice.plain(say('Stay away from:'))} {one.negative_prompt}"
        blocks += _typed(unwanted, _MAX_UNWANTED_CHARS)
    blocks += pictures
    asked = (say("asked by {name}", name=asker),) if asker else ()
    blocks += _fields((*asked, *one.fields), voice)
    return [*blocks, *rows(actions, voice)]


def fallback(one: Card, voice: Voice) -> str:
    """What a notification says, and a screen reader where it reads no blocks."""
    status = voice.say(one.status).strip()
    prompt = cut(" ".join(one.prompt.split()), _MAX_FALLBACK_CHARS)
    return " ".join(filter(str.strip, [status, harmless(prompt)])) or "\u2026"


def section(text: str) -> Block:
    """A line of our own words, with markup."""
    return {"type": "section", "text": {"type": "mrkdwn", "text": cut(text, MAX_SECTION_CHARS)}}


def sections(lines: Iterable[str]) -> list[Block]:
    """Lines of our own words; as many whole ones as a message holds."""
    texts, room = [""], _MAX_BLOCKS_CHARS
    for line in lines:
        shown = cut(line, _MAX_LINE_CHARS)
        room -= len(shown) + 1
        if room < 0:
            break
        longer = f"{texts[-1]}\n{shown}" if texts[-1] else shown
        if len(longer) > MAX_SECTION_CHARS:
            texts.append(shown)
        else:
            texts[-1] = longer
    return [section(one) for one in texts]


def quoted(text: str, most: int) -> str:
    """What stands in code within a line, in so many characters at most, before it is escaped."""
    inside = " ".join(readable(text).split()).replace("`", _HARMLESS_BACKTICK)
    return f"`{escaped(cut(inside, most))}`" if inside else ""


def button(label: str, action: str, value: str, style: str | None = None) -> Block:
    """Something to press."""
    found: Block = {
        "type": "button",
        "text": {"type": "plain_text", "text": cut(label, _MAX_BUTTON_CHARS), "emoji": True},
        "action_id": action,
        "value": value,
    }
    return found if style is None else {**found, "style": style}


def preformatted(text: str) -> Block:
    """What is to be copied, where Slack reads no markup."""
    shown = cut(readable(text), MAX_SECTION_CHARS)
    inside = {"type": "rich_text_preformatted", "elements": [{"type": "text", "text": shown}]}
    return {"type": "rich_text", "elements": [inside]}


def file_alt_text(slot: Slot, voice: Voice) -> str:
    """What a screen reader says of a file."""
    return cut(readable(voice.plain(slot.alt_text)), _MAX_FILE_ALT_TEXT_CHARS)


def context(text: str) -> Block:
    """A line of our own words, small."""
    shown = cut(text, _MAX_CONTEXT_CHARS)
    return {"type": "context", "elements": [{"type": "mrkdwn", "text": shown}]}


def text_of(message: Mapping[str, Any]) -> str:
    """What a message of ours says, in all of its blocks."""
    return "\n".join(_texts(message.get("blocks") or ()))


def files_of(message: Mapping[str, Any]) -> dict[str, str]:
    """The ids of a card's files, by their names, in the order in which they are shown."""
    return {
        name: str(shown["slack_file"].get("id"))
        for name, shown in _images(message.get("blocks") or ())
        if isinstance(shown.get("slack_file"), Mapping)
    }


def name_of(slot: Slot) -> str:
    """By what a picture is known again when the card is read: shown blurred it is another."""
    return f"{slot.filename}{_BLURRED}" if slot.spoiler else slot.filename


def name_in(shown: str, *, blurred: bool) -> str:
    """The name of a picture's file, of what `name_of` gave; no such where it is shown otherwise."""
    name = shown.removesuffix(_BLURRED)
    return name if blurred == (name != shown) else f"{name}, shown otherwise"


def is_end(message: Mapping[str, Any], job_id: str) -> bool:
    """Whether a card says how this job ended."""
    text = text_of(message)
    return text.startswith(FAILURE_MARK) and job_id in text


def failure_text(sentence: str, voice: Voice) -> str:
    """A sentence as the bot says it where there is no job."""
    return f"{FAILURE_MARK} {voice.say(sentence)}"


def harmless(text: str) -> str:
    """What people typed, as part of mrkdwn: nothing in it is live."""
    return _LIVE.sub(_ZERO_WIDTH_SPACE, escaped(readable(text)))


def readable(text: str) -> str:
    """What people typed, without what turns the direction of writing, our own words' as well."""
    return _DIRECTIONS.sub("", text.encode("utf-8", "replace").decode())


def cut(text: str, most: int) -> str:
    """The text, or its beginning and "…", in so many characters at most."""
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"


def _status(one: Card, voice: Voice) -> str:
    status = voice.say(one.status)
    if one.progress is None:
        return status
    step, steps = one.progress
    done = _BAR_CELLS * step // steps
    return f"🎨 `{'█' * done}{'░' * (_BAR_CELLS - done)}` {status}"


def _typed(text: str, most: int) -> Iterator[Block]:
    shown = cut(readable(text), most)
    if shown.strip():  # Slack takes no block without words
        yield {"type": "section", "text": {"type": "plain_text", "text": shown, "emoji": False}}


def picture(slot: Slot, file_id: str, voice: Voice) -> Block:
    """A picture whose file Slack has."""
    return {
        "type": "image",
        "block_id": name_of(slot),
        "slack_file": {"id": file_id},
        "alt_text": cut(readable(voice.plain(slot.alt_text)), _MAX_ALT_TEXT_CHARS),
    }


def thumbnail(slot: Slot, file_id: str, voice: Voice) -> Block:
    """The same, small, beside a text."""
    alt_text = cut(readable(voice.plain(slot.alt_text)), _MAX_ALT_TEXT_CHARS)
    return {"type": "image", "slack_file": {"id": file_id}, "alt_text": alt_text}


def _parted(actions: Rows, pictures: int) -> tuple[list[tuple[Action, ...]], Rows]:
    """What may be pressed of each of so many pictures, and of all of them together.

    Each picture has the same, and no more than fits below one.
    """
    kinds: dict[str, dict[int, Action]] = {}
    for action in itertools.chain.from_iterable(actions):
        if action.index is not None:
            kinds.setdefault(action.kind, {})[action.index] = action
    each = [by_index for by_index in kinds.values() if len(by_index) == pictures]
    if not each:
        return [()] * pictures, actions
    indices = sorted(each[0])
    alike = [by_index for by_index in each if sorted(by_index) == indices][:_MAX_CARD_BUTTONS]
    own = [tuple(by_index[index] for by_index in alike) for index in indices]
    taken = set(itertools.chain.from_iterable(own))
    left = (tuple(action for action in row if action not in taken) for row in actions)
    return own, tuple(filter(None, left))


def _carousel(pictures: Sequence[Block], own: Sequence[tuple[Action, ...]], voice: Voice) -> Block:
    """Pictures beside each other, each with what may be pressed of it."""
    return {
        "type": "carousel",
        "elements": [
            _card(shown, number, actions, voice)
            for number, (shown, actions) in enumerate(zip(pictures, own, strict=True), 1)
        ],
    }


def _card(shown: Block, number: int, actions: Sequence[Action], voice: Voice) -> Block:
    index = actions[0].index if actions else None
    title = str(number if index is None else index + 1)
    found: Block = {
        "type": "card",
        "block_id": shown["block_id"],
        "hero_image": {name: shown[name] for name in ("type", "slack_file", "alt_text")},
        "title": {"type": "plain_text", "text": title, "emoji": False},
    }
    if actions:
        found["actions"] = [_button(action, voice) for action in actions]
    return found


def _images(blocks: Iterable[Mapping[str, Any]]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Each picture with the id of the block that shows it, alone or in a carousel."""
    for block in blocks:
        if block.get("type") == "carousel":
            yield from _images(block.get("elements") or ())
        shown = block.get("hero_image") if block.get("type") == "card" else block
        if isinstance(shown, Mapping) and shown.get("type") == "image":
            yield str(block.get("block_id")), shown


def _fields(fields: Sequence[str], voice: Voice) -> Iterator[Block]:
    shown = (cut(harmless(voice.plain(one)), _MAX_FIELD_CHARS) for one in fields)
    if said := " · ".join(filter(str.strip, shown)):
        yield context(said)


def rows(actions: Rows, voice: Voice) -> Iterator[Block]:
    """What may be pressed."""
    for row in actions:
        yield {
            "type": "actions",
            "elements": [_button(action, voice) for action in row],
        }


def _button(action: Action, voice: Voice) -> Block:
    style = "danger" if action.kind == "delete" else None
    value = f"{action.job_id}:{'' if action.index is None else action.index}"
    return button(voice.plain(action.label), action_id(action.kind, action.index), value, style)


def _texts(blocks: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    for block in blocks:
        if isinstance(text := block.get("text"), Mapping):
            yield str(text.get("text", ""))
        for element in block.get("elements") or ():
            if element.get("type") in {"mrkdwn", "plain_text"}:
                yield str(element.get("text", ""))
