"""Dialogs: how one is put together and shown, and what somebody filled in.

discord.py forgets a dialog with its process. One that is sent after a restart, or hours later, is
read here all the same, for its id says what it is about.
"""

import asyncio
import logging
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, get_args

import discord
from discord import TextStyle
from discord.ui import FileUpload, Label, Modal, TextInput

from bot.core.case import MAX_REASON_CHARS
from bot.core.offspring import Prompts
from bot.core.options import lines_of, written
from bot.core.wish import Wish
from bot.homes.discord.buttons import Interaction
from bot.homes.discord.render import cut, units
from bot.homes.discord.voice import Voice
from sdxl_engine.sentence import say

log = logging.getLogger(__name__)

# A job asked for with other words; something begun from a picture of a job, or of anybody; why
# moderators do something, and why somebody reports.
ReasonKind = Literal["strike", "warn", "block", "report"]
DialogKind = Literal["edit", "begin", "start", ReasonKind]

_PROMPTS: Final = ("prompt", "negative_prompt")
_ID: Final = re.compile(rf"v1:({'|'.join(get_args(DialogKind))}):([a-z2-7]{{8}})")
_MAX_UNITS: Final = 4_000  # of one field
_SHOWING_S: Final = 2.5  # of the three seconds there are
_LABEL: Final = 18


@dataclass(frozen=True, slots=True)
class Filled:
    """What somebody filled in.

    about    a job's id, a case's, or what a picture was noted under
    texts    by the ids of their fields; of one choice, what was chosen
    chosen   of each group the values that were chosen
    uploads  of each field the files, in their order
    """

    kind: DialogKind
    about: str
    texts: Mapping[str, str]
    chosen: Mapping[str, tuple[str, ...]]
    uploads: Mapping[str, tuple[discord.Attachment, ...]]

    def prompts(self, before: str | None) -> Prompts:
        """What to draw, and what to stay away from.

        before  what was stayed away from: with nothing at all, and with an empty text, a model
                draws otherwise
        """
        unwanted = self.texts.get("negative_prompt", "").strip()
        return self.texts.get("prompt", "").strip(), unwanted or (None if before is None else "")

    @property
    def settings(self) -> str:
        """The lines of settings."""
        return self.texts.get("settings", "")

    @property
    def reason(self) -> str:
        """Why; empty where nobody said it."""
        return " ".join(self.texts.get("reason", "").split())

    @property
    def typed(self) -> dict[str, str]:
        """What was written, as options of /imagine, whether or not they can be read."""
        said = {name: text for name, text in self.texts.items() if name in _PROMPTS and text}
        return said | lines_of(self.settings)


def dialog(kind: DialogKind, about: str, title: str, fields: Iterable[Label[Any]]) -> Modal:
    """A dialog of these fields, of which discord.py keeps nothing."""
    modal = Modal(title=title, custom_id=f"v1:{kind}:{about}", timeout=None)
    for field in fields:
        modal.add_item(field)
    modal.stop()
    return modal


def wish_fields(wish: Wish, voice: Voice) -> Iterator[Label[Any]]:
    """The words and settings of a wish, to be changed."""
    yield _text("prompt", voice.say(say("What to draw")), wish.prompt, required=True)
    unwanted = voice.say(say("What to stay away from"))
    yield _text("negative_prompt", unwanted, wish.negative_prompt or "")
    yield _text(
        "settings",
        voice.say(say("Settings")),
        written(wish),
        description=voice.say(say("One a line. What no line says is as usual.")),
    )


def reason_field(voice: Voice, read_by: str) -> Label[Any]:
    """Why somebody does something, and who reads it; it may stay empty."""
    field = TextInput[Any](
        custom_id="reason",
        style=TextStyle.paragraph,
        required=False,
        max_length=MAX_REASON_CHARS,
    )
    return Label(
        text=voice.say(say("Why, if you want to say it")),
        description=voice.say(read_by),
        component=field,
    )


def holds(wish: Wish) -> bool:
    """Whether its words and settings go into the fields whole."""
    texts = (wish.prompt, wish.negative_prompt or "", written(wish))
    return all(units(text) <= _MAX_UNITS for text in texts)


def upload(custom_id: str, label: str, description: str, voice: Voice) -> Label[Any]:
    """A field for one file, which may stay empty."""
    field = FileUpload[Any](custom_id=custom_id, required=False, max_values=1)
    return Label(text=voice.say(label), description=voice.say(description), component=field)


async def show(interaction: Interaction, modal: Modal) -> None:
    """Answer with a dialog; raises what Discord says of it, or TimeoutError."""
    try:
        async with asyncio.timeout(_SHOWING_S):
            await interaction.response.send_modal(modal)
    except Exception as error:
        if not interaction.response.is_done():
            raise
        # The answer came, and makes no sense; the dialog may be there.
        log.warning("the answer to a dialog cannot be understood: %r", error)


def read(interaction: Interaction) -> Filled | None:
    """What was filled in; None if it is no dialog of this bot's."""
    data: Mapping[str, Any] = interaction.data or {}
    match = _ID.fullmatch(str(data.get("custom_id")))
    if match is None:
        return None
    fields = dict(_fields(data.get("components") or ()))
    sent: Mapping[str, Any] = (data.get("resolved") or {}).get("attachments") or {}
    state = interaction._state  # noqa: SLF001 - discord.py makes attachments of nothing else
    kind: Any = match[1]  # the pattern admits no other
    return Filled(
        kind,
        match[2],
        {id_: one["value"] for id_, one in fields.items() if isinstance(one.get("value"), str)},
        {id_: tuple(map(str, one.get("values") or ())) for id_, one in fields.items()},
        {
            id_: tuple(
                discord.Attachment(data=sent[value], state=state)
                for value in one.get("values") or ()
                if value in sent
            )
            for id_, one in fields.items()
        },
    )


def _fields(components: Iterable[Mapping[str, Any]]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for component in components:
        field = component.get("component") if component.get("type") == _LABEL else None
        if field is not None and "custom_id" in field:
            yield field["custom_id"], field


def _text(
    custom_id: str, label: str, text: str, *, required: bool = False, description: str | None = None
) -> Label[Any]:
    field = TextInput[Any](
        custom_id=custom_id,
        style=TextStyle.paragraph,
        required=required,
        default=cut(text, _MAX_UNITS) or None,
        max_length=_MAX_UNITS,
    )
    return Label(text=label, description=description, component=field)
