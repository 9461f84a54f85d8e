"""What may be pressed. It works after a restart, for good: an id says which job is meant.

Nothing else in an id is to be trusted; who may press is read from the ledger.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final, Literal, Protocol, get_args

import discord
from discord import ButtonStyle
from discord.ui import ActionRow, Button, DynamicItem, View

from bot.core.card import Action, ActionKind, LookKind, Rows
from bot.homes.discord.voice import Voice

Interaction = discord.Interaction[Any]

# Cancel on a card, Cancel in one's list, one's pictures, the choice to be mentioned.
ListPress = Literal["cancel", "drop", "show", "mention"]
# Another page of one's pictures: "drawn" or "liked", and its number.
PagePress = Literal["page"]
# Of a case, at the moderators' desk.
DeskPress = Literal["approve", "veil", "strike", "warn", "block", "unblock"]
# Really erase what is kept of whoever presses, or do not.
PrivacyPress = Literal["erase", "keep"]
PressKind = Literal[ActionKind, ListPress, LookKind, PagePress, DeskPress, PrivacyPress]
_KINDS: Final = "|".join(get_args(PressKind))


@dataclass(frozen=True, slots=True)
class Press:
    """What was pressed.

    about  a job's id, at the desk a case's; of "mention" the choice, "on" or "off"; of "page" which
           pictures
    index  of the picture, or of the page, that is meant, from 0
    """

    kind: PressKind
    about: str
    index: int | None = None

    @property
    def custom_id(self) -> str:
        """Its button's id."""
        index = "" if self.index is None else f":{self.index}"
        return f"v1:{self.kind}:{self.about}{index}"


class Presses(Protocol):
    """What the client does when something is pressed."""

    async def press(self, interaction: Interaction, press: Press) -> None:
        """Somebody pressed."""


class PressButton(
    DynamicItem[Button[Any]],
    template=rf"v1:(?P<kind>{_KINDS}):(?P<about>[a-z2-7]{{2,8}})(?::(?P<index>[0-9]{{1,4}}))?",
):
    """One button; its id says everything."""

    def __init__(
        self, press: Press, label: str = "", style: ButtonStyle = ButtonStyle.secondary
    ) -> None:
        super().__init__(Button(label=label or press.kind, custom_id=press.custom_id, style=style))
        self._press = press

    @classmethod
    async def from_custom_id(
        cls, _interaction: Interaction, _item: discord.ui.Item[Any], match: re.Match[str], /
    ) -> "PressButton":
        """The button that was pressed."""
        kind: Any = match["kind"]  # the template admits no other
        index = match["index"]
        return cls(Press(kind, match["about"], None if index is None else int(index)))

    async def callback(self, interaction: Interaction) -> None:
        """Hand the press over."""
        client: Presses = interaction.client
        await client.press(interaction, self._press)


def button_rows(rows: Rows, voice: Voice) -> list[ActionRow[Any]]:
    """What stands under a card."""
    return [ActionRow(*(_button(action, voice) for action in row)) for row in rows]


def _button(action: Action, voice: Voice) -> PressButton:
    return PressButton(Press(action.kind, action.job_id, action.index), voice.say(action.label))


def row(buttons: Iterable[PressButton]) -> View | None:
    """Buttons that never time out."""
    view = View(timeout=None)
    for button in buttons:
        view.add_item(button)
    return view if view.children else None
