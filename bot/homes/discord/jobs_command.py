"""/jobs: one's own jobs, and what the buttons do to them."""

import asyncio
import logging
import time
from typing import Any, Final, Protocol

from discord import app_commands
from discord.ui import View

from bot.core.job import Job, Record, State
from bot.core.ports.ledger import Ledger
from bot.core.queue.waiting import Line
from bot.errors import BotError, IllegalMoveError, PictureLostError, UnknownJobError
from bot.gallery.disk import Album
from bot.homes.cards.desk import picture_files
from bot.homes.discord import render as card
from bot.homes.discord.buttons import CancelButton, ShowButton
from bot.homes.discord.message import EDIT_ERRORS, Face, Interaction, files_of
from bot.shared.job_context import in_job

log = logging.getLogger(__name__)

_LISTED: Final = 8
_BUTTONS: Final = 5  # as many as stand in a row
_CAN_CANCEL: Final = frozenset({State.QUEUED, State.RUNNING})
_GONE: Final = "This job is no longer on record."
_NOT_YOURS: Final = "Only the one who asked for this, or a moderator, can cancel it."


class Cancels(Protocol):
    """Who stops jobs; the dispatcher."""

    async def cancel(self, job_id: str, reason: str) -> None:
        """Stop it or raise why not."""


class JobsCommand:
    """Lists a person's jobs, cancels them, and shows pictures that found no other place.

    dispatcher  cancels
    """

    def __init__(self, ledger: Ledger, line: Line, album: Album, dispatcher: Cancels) -> None:
        self._ledger = ledger
        self._line = line
        self._album = album
        self._dispatcher = dispatcher

    def build(self) -> "app_commands.Command[Any, ..., None]":
        """The command as Discord shall offer it."""

        @app_commands.command(name="jobs", description="Your pictures: in line, drawn, not shown")
        async def jobs(interaction: Interaction) -> None:
            await interaction.response.defer(ephemeral=True, thinking=True)
            records = await self._ledger.find(
                user_id=interaction.user.id, guild_id=interaction.guild_id, limit=_LISTED
            )
            await interaction.edit_original_response(
                content=self._list(records), view=_list_buttons(records)
            )

        return jobs

    async def cancel(self, interaction: Interaction, job_id: str) -> None:
        """Somebody pressed Cancel."""
        with in_job(job_id):
            try:
                await interaction.response.defer()
                await self._cancel(interaction, job_id)
            except BotError as error:
                await _whisper(interaction, str(error))
            except EDIT_ERRORS as error:
                log.warning("a press was not answered: %r", error)

    async def show(self, interaction: Interaction, job_id: str) -> None:
        """Somebody wants to see pictures that could not be shown where they were asked for."""
        with in_job(job_id):
            try:
                await interaction.response.defer(ephemeral=True, thinking=True)
                face = await self._pictures(interaction.user.id, job_id)
                await interaction.edit_original_response(
                    content=face.text, attachments=files_of(face)
                )
            except (UnknownJobError, PictureLostError):
                await _whisper(interaction, _GONE)
            except BotError as error:
                await _whisper(interaction, str(error))
            except EDIT_ERRORS as error:
                log.warning("a press was not answered: %r", error)

    async def _cancel(self, interaction: Interaction, job_id: str) -> None:
        record = await self._ledger.get(job_id)
        job = record.job
        if interaction.user.id == job.user_id:
            reason = "Cancelled by the one who asked."
        elif _is_moderator_of(interaction, job):
            reason = "Cancelled by a moderator."
        else:
            await _whisper(interaction, _NOT_YOURS)
            return
        try:
            await self._dispatcher.cancel(job_id, reason)
        except IllegalMoveError:
            await _whisper(interaction, "It is too late to cancel this: it is over or drawn.")

    async def _pictures(self, user_id: int, job_id: str) -> Face:
        record = await self._ledger.get(job_id)
        if record.job.user_id != user_id:
            raise IllegalMoveError("Only the one who asked for these pictures can see them here.")
        pictures = await asyncio.to_thread(self._album.read, job_id, record.images)
        if not pictures:
            raise UnknownJobError(_GONE)
        return Face(card.finished_card(record.job), picture_files(record.job, pictures))

    def _list(self, records: list[Record]) -> str:
        if not records:
            return "You have asked for nothing here yet. Type /imagine and say what to draw."
        now_s = time.time()
        lines = [
            card.list_line(record, self._line.position(record.job.id), now_s) for record in records
        ]
        if len(records) == _LISTED:  # there may be more
            lines.insert(0, f"Your latest {_LISTED}, the newest first:")
        return card.cut("\n".join(lines), card.MAX_MESSAGE_UNITS)


def _is_moderator_of(interaction: Interaction, job: Job) -> bool:
    # In a private channel Discord lets everybody manage messages; nobody moderates there.
    in_its_guild = interaction.guild_id is not None and interaction.guild_id == job.guild_id
    return in_its_guild and interaction.permissions.manage_messages


def _list_buttons(records: list[Record]) -> View | None:
    view = View(timeout=None)
    for record in records:
        if len(view.children) == _BUTTONS:
            break
        if record.state in _CAN_CANCEL:
            view.add_item(CancelButton(record.job.id, f"Cancel {record.job.id}"))
        elif record.state is State.UNDELIVERED:
            view.add_item(ShowButton(record.job.id))
    return view if view.children else None


async def _whisper(interaction: Interaction, sentence: str) -> None:
    """Say something that only this person sees."""
    try:
        await interaction.followup.send(card.failure_text(sentence), ephemeral=True)
    except EDIT_ERRORS as error:
        log.warning("the person could not be told: %r", error)
