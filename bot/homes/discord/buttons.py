"""What may be pressed. It works after a restart, for good: an id says which job is meant.

Nothing else in an id is to be trusted; who may press is read from the ledger.
"""

import re
from collections.abc import Iterable
from typing import Any, Literal, Protocol, get_args

import discord
from discord.ui import Button, DynamicItem, View

from bot.core.card import Action

Interaction = discord.Interaction[Any]

# Cancel on a card, Cancel in one's list, one's pictures, the choice to be mentioned.
Press = Literal["cancel", "drop", "show", "mention"]
_PRESSES = "|".join(get_args(Press))


class Presses(Protocol):
    """What the client does when something is pressed."""

    async def press(self, interaction: Interaction, press: Press, about: str) -> None:
        """Somebody pressed.

        about  a job's id; of "mention" the choice, "on" or "off"
        """


class PressButton(
    DynamicItem[Button[View]], template=rf"v1:(?P<press>{_PRESSES}):(?P<about>[a-z2-7]{{2,8}})"
):
    """One button; its id says everything."""

    def __init__(self, press: Press, about: str, label: str = "") -> None:
        super().__init__(Button(label=label or press, custom_id=f"v1:{press}:{about}"))
        self._press = press
        self._about = about

    @classmethod
    async def from_custom_id(
        cls, _interaction: Interaction, _item: discord.ui.Item[Any], match: re.Match[str], /
    ) -> "PressButton":
        """The button that was pressed."""
        press: Any = match["press"]  # the template admits no other
        return cls(press, match["about"])

    async def callback(self, interaction: Interaction) -> None:
        """Hand the press over."""
        client: Presses = interaction.client
        await client.press(interaction, self._press, self._about)


def card_buttons(actions: Iterable[Action]) -> View | None:
    """What stands under a card; None takes away what stood there."""
    return row(PressButton(one.kind, one.job_id, one.label) for one in actions)


def row(buttons: Iterable[PressButton]) -> View | None:
    """Buttons that never time out."""
    view = View(timeout=None)
    for button in buttons:
        view.add_item(button)
    return view if view.children else None
