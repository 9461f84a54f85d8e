"""What people press below finished pictures, and below one that they look at alone."""

import logging
from collections.abc import Callable
from functools import partial

from discord.ui import View

from bot.core import card, look, offspring
from bot.core.card import Card, Rows, Slot
from bot.core.heard import Heard
from bot.core.job import Record
from bot.core.offspring import Offspring
from bot.core.studio import Studio
from bot.errors import PictureLostError, UnknownJobError
from bot.homes.discord import render
from bot.homes.discord.acknowledgement import acknowledge_press
from bot.homes.discord.buttons import Interaction, Press, PressButton
from bot.homes.discord.editing import Editing
from bot.homes.discord.intake import Intake, actor_of, viewer_of
from bot.homes.discord.voice import Voice, voice_of
from bot.shared.job_context import in_job

log = logging.getLogger(__name__)


class CardPresses:
    """Makes, shows and deletes what somebody pressed for."""

    def __init__(self, studio: Studio, intake: Intake, editing: Editing) -> None:
        self._studio = studio
        self._intake = intake
        self._editing = editing

    async def press(self, interaction: Interaction, press: Press) -> None:
        """Somebody pressed a button.

        Raises BotError for the one who did, and what Discord says of the answer.
        """
        job_id, index = press.about, press.index or 0
        match press.kind:
            case "reroll":
                await self._make(interaction, job_id, offspring.rerolled)
            case "upscale":
                await self._make(interaction, job_id, partial(offspring.upscaled, index=index))
            case "subtle" | "strong" as how:
                of = partial(offspring.varied, index=index, how=how)
                await self._make(interaction, job_id, of)
            case "edit":
                await self._editing.open(interaction, job_id)
            case "publish":
                await self._publish(interaction, job_id, press.index)
            case "blur" | "unblur":
                await acknowledge_press(interaction, unseen=False)
                await self._blur(interaction, job_id, blurred=press.kind == "blur")
            case "delete":
                await acknowledge_press(interaction, unseen=False)
                await self._delete(interaction, job_id)
            case "recipe":
                await acknowledge_press(interaction, unseen=True)
                await self._show_recipe(interaction, job_id)
            case "open" | "look":
                await acknowledge_press(interaction, unseen=press.kind == "open")
                await self._look(interaction, job_id, index)
            case "like" | "unlike":
                await acknowledge_press(interaction, unseen=False)
                liked = press.kind == "like"
                await self._studio.like(viewer_of(interaction), job_id, index, liked=liked)
                await self._look(interaction, job_id, index)

    async def _make(
        self, interaction: Interaction, job_id: str, of: Callable[[Record], Offspring]
    ) -> None:
        async def ask(heard: Heard) -> None:
            await self._studio.make(heard, job_id, of, private=heard.unseen)

        await self._intake.take(interaction, ask, unseen=lambda: self._studio.is_private(job_id))

    async def _publish(self, interaction: Interaction, job_id: str, index: int | None) -> None:
        async def ask(heard: Heard) -> None:
            await self._studio.publish(heard, job_id, index)

        await self._intake.take(interaction, ask)

    async def _blur(self, interaction: Interaction, job_id: str, *, blurred: bool) -> None:
        with in_job(job_id):
            record = await self._studio.blur(job_id, actor_of(interaction), blurred=blurred)
        await _change(interaction, record, card.standing_card(record), "a blurred card")

    async def _delete(self, interaction: Interaction, job_id: str) -> None:
        with in_job(job_id):
            record = await self._studio.delete(job_id, actor_of(interaction))
        await _change(interaction, record, card.deleted_card(record), "a deleted card")

    async def _show_recipe(self, interaction: Interaction, job_id: str) -> None:
        line = await self._studio.lineage(job_id, viewer_of(interaction))
        text = render.recipe_text(line, voice_of(interaction))
        await _show(interaction, "a recipe", text, None, None)

    async def _look(self, interaction: Interaction, job_id: str, index: int) -> None:
        viewer = viewer_of(interaction)
        with in_job(job_id):
            record = await self._studio.record(job_id, viewer)
            try:
                picture = await self._studio.picture(job_id, index, viewer)
            except PictureLostError as error:
                raise UnknownJobError(look.NOT_KEPT) from error
            liked = index in await self._studio.likes(viewer.person, job_id)
        slot = look.slot(record, picture)
        voice = voice_of(interaction)
        buttons = _buttons(look.actions(record, index, liked=liked), index, voice)
        text = render.recipe_text((record,), voice, index)
        await _show(interaction, "one picture", text, (slot,), buttons)


def _buttons(rows: Rows, shown: int, voice: Voice) -> View:
    view = View(timeout=None)
    for number, row in enumerate(rows):
        for one in row:
            button = PressButton(Press(one.kind, one.job_id, one.index), voice.say(one.label))
            button.item.row = number
            button.item.disabled = one.kind == "look" and one.index == shown
            view.add_item(button)
    return view


async def _change(interaction: Interaction, record: Record, shown: Card, what: str) -> None:
    """Show a job's card otherwise; files that are there stay unless it has none."""
    slots = shown.pictures or ()
    # It stays in the language of the one who asked, whoever pressed.
    voice = Voice(interaction.client.languages, record.job.person.locale)
    left = render.card_layout(shown, render.seen(slots, voice), voice)
    await interaction.client.calls.surely(
        lambda: interaction.edit_original_response(
            content=None, embeds=[], attachments=render.files(slots, voice), view=left
        ),
        what,
    )


async def _show(
    interaction: Interaction,
    what: str,
    text: str,
    slots: tuple[Slot, ...] | None,
    view: View | None,
) -> None:
    await interaction.client.calls.surely(
        lambda: interaction.edit_original_response(
            content=text, attachments=render.files(slots, voice_of(interaction)), view=view
        ),
        what,
        size_bytes=render.size_bytes(slots),
    )
