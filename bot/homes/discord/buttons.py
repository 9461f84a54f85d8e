"""The buttons under a card. They work after a restart, for good: their id says which job is meant.

Nothing else in an id is to be trusted; who may press is read from the ledger.
"""

import re
from typing import Any, Protocol

import discord
from discord.ui import Button, DynamicItem, View

Interaction = discord.Interaction[Any]


class Presses(Protocol):
    """What the client does when a button is pressed."""

    async def press_cancel(self, interaction: Interaction, job_id: str) -> None:
        """Somebody wants the job cancelled."""

    async def press_show(self, interaction: Interaction, job_id: str) -> None:
        """Somebody wants to see the job's pictures."""


class CancelButton(DynamicItem[Button[View]], template=r"v1:cancel:(?P<job>[a-z2-7]{8})"):
    """Cancels a job that waits or is drawn."""

    def __init__(self, job_id: str, label: str = "Cancel") -> None:
        super().__init__(Button(label=label, custom_id=f"v1:cancel:{job_id}"))
        self._job_id = job_id

    @classmethod
    async def from_custom_id(
        cls, _interaction: Interaction, _item: discord.ui.Item[Any], match: re.Match[str], /
    ) -> "CancelButton":
        """The button that was pressed."""
        return cls(match["job"])

    async def callback(self, interaction: Interaction) -> None:
        """Hand the press over."""
        client: Presses = interaction.client
        await client.press_cancel(interaction, self._job_id)


class ShowButton(DynamicItem[Button[View]], template=r"v1:show:(?P<job>[a-z2-7]{8})"):
    """Shows the pictures of a job to the one who asked for them."""

    def __init__(self, job_id: str) -> None:
        label = f"Pictures of {job_id}"
        super().__init__(Button(label=label, custom_id=f"v1:show:{job_id}"))
        self._job_id = job_id

    @classmethod
    async def from_custom_id(
        cls, _interaction: Interaction, _item: discord.ui.Item[Any], match: re.Match[str], /
    ) -> "ShowButton":
        """The button that was pressed."""
        return cls(match["job"])

    async def callback(self, interaction: Interaction) -> None:
        """Hand the press over."""
        client: Presses = interaction.client
        await client.press_show(interaction, self._job_id)


def buttons_of(job_id: str, *, can_cancel: bool) -> View | None:
    """What stands under a card; None takes away what stood there."""
    if not can_cancel:
        return None
    view = View(timeout=None)
    view.add_item(CancelButton(job_id))
    return view
