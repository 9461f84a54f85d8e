"""/history and /favourites: one's own pictures, a page at a time, for their eyes alone."""

from typing import Any, Final

from discord import app_commands
from discord.app_commands import locale_str
from discord.ui import ActionRow, LayoutView, TextDisplay

from bot.core import shelf
from bot.core.card import Slot
from bot.core.studio import Page, Shelf, Studio
from bot.homes.discord import render
from bot.homes.discord.acknowledgement import acknowledge_press
from bot.homes.discord.buttons import Interaction, Press, PressButton
from bot.homes.discord.intake import viewer_of
from bot.homes.discord.voice import Voice, voice_of
from sdxl_engine.sentence import say

_A_PAGE: Final = 9  # three rows of three; a gallery holds ten
_IN_A_ROW: Final = 5


class Pages:
    """Shows pages, from a command and from the buttons below one."""

    def __init__(self, studio: Studio) -> None:
        self._studio = studio

    def build(self) -> "list[app_commands.Command[Any, ..., None]]":
        """The commands as Discord shall offer them."""

        @app_commands.command(name="history", description=locale_str(say("What was drawn for you")))
        async def history(interaction: Interaction) -> None:
            await self._open(interaction, "drawn")

        @app_commands.command(
            name="favourites", description=locale_str(say("The pictures that you like"))
        )
        async def favourites(interaction: Interaction) -> None:
            await self._open(interaction, "liked")

        return [history, favourites]

    async def press(self, interaction: Interaction, press: Press) -> None:
        """Somebody wants another page."""
        await acknowledge_press(interaction, unseen=False)
        known = press.about if press.about in shelf.TITLES else "drawn"
        await self._show(interaction, known, press.index or 0)

    async def _open(self, interaction: Interaction, of: Shelf) -> None:
        await acknowledge_press(interaction, unseen=True)
        await self._show(interaction, of, 0)

    async def _show(self, interaction: Interaction, of: Shelf, number: int) -> None:
        page = await self._studio.page(viewer_of(interaction), of, number, size=_A_PAGE)
        slots = tuple(filter(None, map(shelf.slot, page.pictures)))
        voice = voice_of(interaction)
        view = _layout(page, slots, voice)
        await interaction.client.calls.surely(
            lambda: interaction.edit_original_response(
                attachments=render.files(slots, voice), view=view
            ),
            "a page of pictures",
            size_bytes=render.size_bytes(slots),
        )


def _layout(page: Page, slots: tuple[Slot, ...], voice: Voice) -> LayoutView:
    view = LayoutView(timeout=None)
    if (nothing := shelf.nothing(page)) is not None:
        view.add_item(TextDisplay(voice.say(nothing)))
        return view
    lines = [f"**{voice.say(shelf.TITLES[page.shelf])}** · {voice.say(shelf.number(page))}"]
    for place, one in enumerate(page.pictures, start=1):
        lines.append(render.page_line(place, one, voice))
    view.add_item(TextDisplay("\n".join(lines)))
    if slots:
        view.add_item(render.gallery(render.seen(slots, voice)))
    buttons = [
        PressButton(Press("open", one.record.job.id, one.index), f"🔍 {place}")
        for place, one in enumerate(page.pictures, start=1)
    ]
    turns = [
        PressButton(Press("page", page.shelf, number), voice.say(label))
        for label, number in shelf.turns(page).items()
    ]
    rows = [buttons[first : first + _IN_A_ROW] for first in range(0, len(buttons), _IN_A_ROW)]
    for row in (*rows, turns):
        if row:
            view.add_item(ActionRow(*row))
    return view
