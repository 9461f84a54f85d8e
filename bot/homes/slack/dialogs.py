"""Dialogs: how one is put together, and what somebody filled in.

What a dialog is about, and where it was opened, goes with it: it can be sent after a restart.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, get_args

from bot.core.case import MAX_REASON_CHARS
from bot.core.defaults import Defaults
from bot.core.offspring import Prompts
from bot.core.options import read_lines, written
from bot.core.wish import Wish
from bot.homes.slack.calls import Calls, code_of, translated
from bot.homes.slack.intake import Asked
from bot.homes.slack.places import Place
from bot.homes.slack.private_words import send_surely
from bot.homes.slack.render import Block, cut
from bot.homes.slack.voice import Voice
from sdxl_engine.errors import InvalidRequestError
from sdxl_engine.sentence import say, sentence_of

# A job asked for with other words; something new; why moderators do something, and why somebody
# reports.
ReasonKind = Literal["delete", "warn", "block", "report"]
DialogKind = Literal["edit", "new", "from", "settings", ReasonKind]

CALLBACK: Final = re.compile(rf"v1:({'|'.join(get_args(DialogKind))})")
_MAX_TITLE_CHARS: Final = 24
# How pictures are shown, by the fields of a `Manner`.
MANNERS: Final = {
    "private": say("Show the pictures to me alone, until I publish them"),
    "spoiler": say("Blur the pictures until somebody looks"),
    "mention": say("Mention me when they are there"),
}
CHOICES: Final[Mapping[str, bool | None]] = {"open": None, "yes": True, "no": False}
_CHOSEN: Final = {"open": say("left open"), "yes": say("yes"), "no": say("no")}
_WHERE: Final = "where"
_MAX_OPTION_CHARS: Final = 75
_MAX_TEXT_CHARS: Final = 3_000  # of one field
_NAMES: Final = ("about", "community", "channel", "thread", "response_url", "tab")
_TYPES: Final = ["png", "jpg", "jpeg", "webp", "gif"]
_USED: Final = "exchanged_trigger_id"  # what opens one opens no other


@dataclass(frozen=True, slots=True)
class Filled:
    """What somebody filled in.

    about    the id of a job, a case, a file, whose settings; empty: nothing that is there already
    texts    by the ids of their fields
    files    of each field the ids of the files, in their order
    choices  what was chosen of each list
    """

    kind: DialogKind
    about: str
    texts: Mapping[str, str]
    files: Mapping[str, tuple[str, ...]]
    choices: Mapping[str, str]

    def prompts(self, before: str | None) -> Prompts:
        """What to draw, and what to stay away from.

        before  what was stayed away from: with nothing at all, and with an empty text, a model
                draws otherwise
        """
        unwanted = self.texts.get("negative_prompt", "").strip()
        return self.texts.get("prompt", "").strip(), unwanted or (None if before is None else "")

    @property
    def reason(self) -> str:
        """Why; empty where nobody said it."""
        return " ".join(self.texts.get("reason", "").split())


async def show(
    calls: Calls,
    asked: Asked,
    kind: DialogKind,
    about: str,
    title: str,
    fields: Sequence[Block],
    voice: Voice,
) -> None:
    """Open a dialog for somebody who pressed or typed; raises AwayError, UndeliveredError."""
    place = asked.place
    kept = {
        "about": about,
        "community": asked.community,
        "channel": None if place is None else place.channel,
        "thread": None if place is None else place.thread,
        "response_url": asked.response_url,
        "tab": asked.tab,
    }
    view = {
        "type": "modal",
        "callback_id": f"v1:{kind}",
        "private_metadata": json.dumps(kept),
        "title": _plain(voice.plain(title), _MAX_TITLE_CHARS),
        "submit": _plain(voice.plain(say("Send")), _MAX_TITLE_CHARS),
        "close": _plain(voice.plain(say("Cancel")), _MAX_TITLE_CHARS),
        "blocks": list(fields),
    }
    tried = False

    async def show_it() -> None:
        nonlocal tried
        was_tried, tried = tried, True
        try:
            await calls.make("views.open", trigger_id=asked.event, view=view)
        except Exception as error:
            if not (was_tried and code_of(error) == _USED):
                raise

    try:
        await send_surely(show_it, sleep=calls.sleep)
    except Exception as error:
        raise translated(error) from error


def read(body: Mapping[str, Any]) -> tuple[Asked, Filled] | None:
    """What was filled in, and where the dialog was opened; None: it is none of this version's."""
    view: Mapping[str, Any] = body.get("view") or {}
    kind = CALLBACK.fullmatch(str(view.get("callback_id")))
    try:
        kept = json.loads(view.get("private_metadata") or "{}")
    except ValueError:
        return None
    if kind is None or not isinstance(kept, dict) or set(kept) != set(_NAMES):
        return None
    fields = dict(_fields(view))
    known: Any = kind[1]  # the pattern admits no other
    filled = Filled(
        known,
        str(kept["about"]),
        {name: str(one["value"]) for name, one in fields.items() if one.get("value")},
        {
            name: tuple(str(file.get("id")) for file in one["files"])
            for name, one in fields.items()
            if one.get("files")
        },
        {
            name: str(one["selected_option"].get("value"))
            for name, one in fields.items()
            if one.get("selected_option")
        },
    )
    chosen = fields.get(_WHERE, {}).get("selected_conversation")
    channel, thread = (kept["channel"], kept["thread"]) if chosen is None else (chosen, None)
    asked = Asked(
        event=str(view.get("id")),
        user=str((body.get("user") or {}).get("id")),
        community=kept["community"],
        place=Place(str(channel), thread) if channel else None,
        response_url=str(kept["response_url"]),
        tab=None if kept["tab"] is None else str(kept["tab"]),
    )
    return asked, filled


def problems(filled: Filled) -> dict[str, str]:
    """What of it cannot be read, each by its field: it stays open then, and nothing is lost."""
    try:
        read_lines(filled.texts.get("settings", ""))
    except InvalidRequestError as error:
        return {"settings": sentence_of(error)}
    return {}


def wish_fields(wish: Wish, voice: Voice) -> Iterator[Block]:
    """The words and settings of a wish, to be changed."""
    yield _text("prompt", say("What to draw"), wish.prompt, voice, required=True)
    unwanted = say("What to stay away from")
    yield _text("negative_prompt", unwanted, wish.negative_prompt or "", voice)
    hint = say("One a line. What no line says is as usual.")
    yield _text("settings", say("Settings"), written(wish), voice, hint=hint)


def usual_fields(usual: Defaults, voice: Voice) -> Iterator[Block]:
    """What is usual for somebody, to be changed."""
    unwanted = say("What pictures should stay away from")
    yield _text("negative_prompt", unwanted, usual.wish.negative_prompt or "", voice)
    hint = say('One a line, as in "steps: 20". What no line says is left open.')
    yield _text("settings", say("Settings"), written(usual.wish), voice, hint=hint)
    for name, label in MANNERS.items():
        yield _choice(name, label, getattr(usual.manner, name), voice)


def where_field(voice: Voice) -> Block:
    """The channel that the pictures are for."""
    element: Block = {
        "type": "conversations_select",
        "action_id": _WHERE,
        "default_to_current_conversation": True,
    }
    return _field(_WHERE, say("Where"), element, voice, hint=None, required=True)


def picture_field(voice: Voice, hint: str | None = None) -> Block:
    """A picture to start from, which may stay empty."""
    return _file("picture", say("A picture to start from"), hint, voice)


def mask_field(voice: Voice) -> Block:
    """A mask on it, which may stay empty."""
    return _file(
        "mask", say("A mask for it"), say("What is white is painted, the rest stays."), voice
    )


def reason_field(voice: Voice, read_by: str) -> Block:
    """Why somebody does something, and who reads it; it may stay empty."""
    label = say("Why, if you want to say it")
    return _text("reason", label, "", voice, hint=read_by, most=MAX_REASON_CHARS)


def holds(wish: Wish) -> bool:
    """Whether its words and settings go into the fields whole."""
    texts = (wish.prompt, wish.negative_prompt or "", written(wish))
    return all(len(text) <= _MAX_TEXT_CHARS for text in texts)


def _text(
    name: str,
    label: str,
    text: str,
    voice: Voice,
    *,
    required: bool = False,
    hint: str | None = None,
    most: int = _MAX_TEXT_CHARS,
) -> Block:
    element: Block = {
        "type": "plain_text_input",
        "action_id": name,
        "multiline": True,
        "max_length": most,
    }
    if text:
        element["initial_value"] = cut(text, most)
    return _field(name, label, element, voice, hint=hint, required=required)


def _choice(name: str, label: str, chosen: bool | None, voice: Voice) -> Block:
    options = {
        value: {"text": _plain(voice.plain(said), _MAX_OPTION_CHARS), "value": value}
        for value, said in _CHOSEN.items()
    }
    (initial,) = (options[value] for value, means in CHOICES.items() if means is chosen)
    element: Block = {
        "type": "static_select",
        "action_id": name,
        "options": list(options.values()),
        "initial_option": initial,
    }
    return _field(name, label, element, voice, hint=None, required=True)


def _file(name: str, label: str, hint: str | None, voice: Voice) -> Block:
    element = {"type": "file_input", "action_id": name, "max_files": 1, "filetypes": _TYPES}
    return _field(name, label, element, voice, hint=hint, required=False)


def _field(
    name: str, label: str, element: Block, voice: Voice, *, hint: str | None, required: bool
) -> Block:
    block: Block = {
        "type": "input",
        "block_id": name,
        "optional": not required,
        "label": _plain(voice.plain(label), _MAX_TEXT_CHARS),
        "element": element,
    }
    return block if hint is None else {**block, "hint": _plain(voice.plain(hint), _MAX_TEXT_CHARS)}


def _plain(text: str, most: int) -> Block:
    return {"type": "plain_text", "text": cut(text, most)}


def _fields(view: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    values = (view.get("state") or {}).get("values") or {}
    for block in values.values():
        yield from block.items()
