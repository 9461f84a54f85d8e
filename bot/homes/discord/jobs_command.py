"""/jobs: one's own jobs, and what the buttons do to them."""

import logging
import time
from itertools import islice
from typing import Any, Final

from discord import app_commands
from discord.app_commands import locale_str
from discord.ui import View

from bot.core import card
from bot.core.studio import Listed, Studio
from bot.errors import BotError, PictureLostError, UnknownJobError
from bot.homes.discord import render
from bot.homes.discord.acknowledgement import acknowledge_press
from bot.homes.discord.buttons import Interaction, Press, PressButton, row
from bot.homes.discord.intake import actor_of, community_of, person_of
from bot.homes.discord.voice import Voice, voice_of
from bot.shared.job_context import in_job
from sdxl_engine.sentence import say

log = logging.getLogger(__name__)

_LISTED: Final = 8
_BUTTONS: Final = 4  # beside the choice to be mentioned, as many as stand in a row
_NOTHING: Final = say("You have asked for nothing here yet. Type /imagine and say what to draw.")


class JobsCommand:
    """Lists a person's jobs, cancels them, and shows pictures that found no other place."""

    def __init__(self, studio: Studio) -> None:
        self._studio = studio

    def build(self) -> "app_commands.Command[Any, ..., None]":
        """The command as Discord shall offer it."""

        @app_commands.command(
            name="jobs",
            description=locale_str(say("Your pictures: waiting, drawn, not shown")),
        )
        async def jobs(interaction: Interaction) -> None:
            await acknowledge_press(interaction, unseen=True)
            await self._show_list(interaction)

        return jobs

    async def press(self, interaction: Interaction, press: Press) -> None:
        """Somebody pressed a button.

        Raises BotError for the one who did, and what Discord says of the answer.
        """
        about = press.about
        await acknowledge_press(interaction, unseen=press.kind == "show")
        match press.kind:
            case "cancel":
                await self._cancel(interaction, about)
            case "drop":
                try:
                    await self._cancel(interaction, about)
                except BotError:  # what was too late is seen there, too
                    await self._show_list(interaction)
                    raise
                await self._show_list(interaction)
            case "show":
                await self._show_pictures(interaction, about)
            case "mention":
                person = person_of(interaction)
                await self._studio.set_mention(person, wanted=about == "on")
                await self._show_list(interaction)

    async def _cancel(self, interaction: Interaction, job_id: str) -> None:
        with in_job(job_id):
            await self._studio.cancel(job_id, actor_of(interaction))

    async def _show_pictures(self, interaction: Interaction, job_id: str) -> None:
        with in_job(job_id):
            try:
                record, pictures = await self._studio.pictures_of(person_of(interaction), job_id)
            except PictureLostError as error:
                raise UnknownJobError(
                    say("The pictures of this job are no longer there.")
                ) from error
        shown = card.finished_card(record.job, pictures)
        voice = voice_of(interaction)
        text = render.card_text(shown, voice)
        await interaction.client.calls.surely(
            lambda: interaction.edit_original_response(
                content=text, attachments=render.files(shown.pictures, voice)
            ),
            "pictures for one alone",
            size_bytes=sum(len(one.data) for one in pictures),
        )

    async def _show_list(self, interaction: Interaction) -> None:
        person = person_of(interaction)
        jobs = await self._studio.list_of(person, community_of(interaction), limit=_LISTED)
        is_mentioned = await self._studio.wants_mention(person)
        voice = voice_of(interaction)
        text = _list(jobs, voice)
        await interaction.client.calls.surely(
            lambda: interaction.edit_original_response(
                content=text, view=_buttons(jobs, voice, is_mentioned=is_mentioned)
            ),
            "a list of jobs",
        )


def _list(jobs: tuple[Listed, ...], voice: Voice) -> str:
    if not jobs:
        return voice.say(_NOTHING)
    now_s = time.time()
    lines = [render.list_line(one, now_s, voice) for one in jobs]
    if len(jobs) == _LISTED:  # there may be more
        latest = say("Your latest {number}, the newest first:", number=_LISTED)
        lines.insert(0, voice.say(latest))
    return render.cut("\n".join(lines), render.MAX_MESSAGE_UNITS)


def _buttons(jobs: tuple[Listed, ...], voice: Voice, *, is_mentioned: bool) -> View | None:
    actions = (action for one in jobs for action in card.actions_of(one.record))
    # A list that was cancelled from shows itself anew: its Cancel is not the card's.
    buttons = [
        PressButton(
            Press("drop" if one.kind == "cancel" else one.kind, one.job_id), voice.say(one.label)
        )
        for one in islice(actions, _BUTTONS)
    ]
    about, label = "on", say("Mention me when done")
    if is_mentioned:
        about, label = "off", say("Stop mentioning me")
    return row([*buttons, PressButton(Press("mention", about), voice.say(label))])
