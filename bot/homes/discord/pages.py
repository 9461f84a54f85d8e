"""/history and /favourites: one's own pictures, a page at a time, for their eyes alone."""

from typing import Any, Final, cast

from discord import app_commands
from discord.app_commands import locale_str
from discord.ui import ActionRow, LayoutView, TextDisplay

from bot.core import card
from bot.core.card import Slot
from bot.core.studio import OnPage, Page, Shelf, Studio
from bot.homes.discord import render
from bot.homes.discord.acknowledgement import acknowledge_press
from bot.homes.discord.buttons import Interaction, Press, PressButton
from bot.homes.discord.intake import viewer_of
from bot.homes.discord.voice import Voice, voice_of
from sdxl_engine.sentence import say

_A_PAGE: Final = 9  # three rows of three; a gallery holds ten
_IN_A_ROW: Final = 5
_TITLES: Final = {"drawn": say("Your pictures, the newest first"), "liked": say("What you like")}
_NOTHING: Final = {
    "drawn": say("Nothing was drawn for you yet. Type /imagine and say what to draw."),
    "liked": say("You like nothing yet. Below pictures, press Look and then Like."),
}


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
        shelf = press.about if press.about in _TITLES else "drawn"
        await self._show(interaction, cast("Shelf", shelf), press.index or 0)

    async def _open(self, interaction: Interaction, shelf: Shelf) -> None:
        await acknowledge_press(interaction, unseen=True)
        await self._show(interaction, shelf, 0)

    async def _show(self, interaction: Interaction, shelf: Shelf, number: int) -> None:
        page = await self._studio.page(viewer_of(interaction), shelf, number, size=_A_PAGE)
        slots = tuple(filter(None, map(_slot, page.pictures)))
        voice = voice_of(interaction)
        view = _layout(page, slots, voice)
        await interaction.client.calls.surely(
            lambda: interaction.edit_original_response(
                attachments=render.files(slots, voice), view=view
            ),
            "a page of pictures",
            size_bytes=render.size_bytes(slots),
        )


def _slot(one: OnPage) -> Slot | None:
    if one.thumbnail is None:
        return None
    job = one.record.job
    alt_text = card.alt_text(job.wish, one.index)
    return Slot(one.thumbnail.filename, alt_text, one.thumbnail.data, job.showing.spoiler)


def _layout(page: Page, slots: tuple[Slot, ...], voice: Voice) -> LayoutView:
    view = LayoutView(timeout=None)
    if not page.pictures and page.number == 0:
        view.add_item(TextDisplay(voice.say(_NOTHING[page.shelf])))
        return view
    number = voice.say(say("page {number}", number=page.number + 1))
    lines = [f"**{voice.say(_TITLES[page.shelf])}** · {number}"]
    for place, one in enumerate(page.pictures, start=1):
        lines.append(render.page_line(place, one, voice))
    view.add_item(TextDisplay("\n".join(lines)))
    if slots:
        view.add_item(render.gallery(render.seen(slots, voice)))
    buttons = [
        PressButton(Press("open", one.record.job.id, one.index), f"🔍 {place}")
        for place, one in enumerate(page.pictures, start=1)
    ]
    turns = []
    if page.number:
        newer = voice.say(say("◀ Newer"))
        turns.append(PressButton(Press("page", page.shelf, page.number - 1), newer))
    if page.has_next:
        older = voice.say(say("Older ▶"))
        turns.append(PressButton(Press("page", page.shelf, page.number + 1), older))
    rows = [buttons[first : first + _IN_A_ROW] for first in range(0, len(buttons), _IN_A_ROW)]
    for row in (*rows, turns):
        if row:
            view.add_item(ActionRow(*row))
    return view
