"""The bot as Discord sees it: one client, its commands, one handler for their errors."""

import asyncio
import logging
from collections.abc import Sequence
from typing import Any

import discord
from discord import app_commands

from bot.core.job import new_job_id
from bot.homes.discord.buttons import Press, PressButton
from bot.homes.discord.commands import ImagineCommand
from bot.homes.discord.endpoints import ElsewhereConnector
from bot.homes.discord.jobs_command import JobsCommand
from bot.homes.discord.message import EDIT_ERRORS, Interaction, is_passing, translated
from bot.homes.discord.refusal import JOB_ID, refuse
from bot.homes.discord.sync import CommandRecord, Size, sync_if_changed
from bot.shared.job_context import in_job
from bot.shared.retry import Backoff, Sleep, persist

log = logging.getLogger(__name__)


class Tree(app_commands.CommandTree[Any]):
    """The commands, with one handler for whatever goes wrong in any of them."""

    async def on_error(
        self, interaction: Interaction, error: app_commands.AppCommandError, /
    ) -> None:
        """Tell the person, unseen by others."""
        job_id = interaction.extras.get(JOB_ID) or new_job_id()
        with in_job(job_id):
            await refuse(interaction, error, job_id)


class ImagineClient(discord.Client):
    """A client that is good for one login.

    command    builds /imagine
    jobs       builds /jobs, and knows what the buttons do
    guild_ids  the servers that have it; empty is everywhere
    record     what Discord was told last
    logged_in  is set once requests can be sent
    connector  says where Discord is; closed with the client
    model      whose sizes are offered
    sizes      those of config.toml; empty is whatever was offered last time
    """

    def __init__(
        self,
        command: ImagineCommand,
        jobs: JobsCommand,
        record: CommandRecord,
        logged_in: asyncio.Event,
        connector: ElsewhereConnector,
        *,
        guild_ids: Sequence[int],
        model: str,
        sizes: Sequence[Size],
    ) -> None:
        intents = discord.Intents.none()
        intents.guilds = True  # which servers and channels there are; not privileged
        super().__init__(
            intents=intents,
            allowed_mentions=discord.AllowedMentions.none(),
            max_messages=None,
            connector=connector,
        )
        self.was_online = False
        self.is_online = False
        self._logged_in = logged_in
        self._tree = Tree(self)
        self._command = command
        self._jobs = jobs
        self._record = record
        self._guild_ids = guild_ids
        self._model = model
        self._sizes = sizes or record.sizes(model)
        self._telling = asyncio.Lock()

    async def setup_hook(self) -> None:
        """Told by discord.py between login and the first connection."""
        self._logged_in.set()
        self.add_dynamic_items(PressButton)
        await self._tell()

    async def on_connect(self) -> None:
        """Told by discord.py when a session has begun."""
        self.was_online = self.is_online = True
        log.info("online as %s", self.user)

    async def on_resumed(self) -> None:
        """Told by discord.py when a broken connection goes on."""
        self.is_online = True

    async def on_disconnect(self) -> None:
        """Told by discord.py when the connection broke."""
        self.is_online = False

    async def press(self, interaction: Interaction, press: Press, about: str) -> None:
        """See `buttons.Presses`."""
        try:
            await self._jobs.press(interaction, press, about)
        except EDIT_ERRORS as error:
            log.warning("a press was not answered: %r", error)
            if isinstance(error, discord.HTTPException) and not is_passing(error):
                await refuse(interaction, translated(error), new_job_id())
        except Exception as error:  # noqa: BLE001 - whatever it is, the one who pressed must hear
            await refuse(interaction, error, new_job_id())

    async def offer(
        self, sizes: Sequence[Size], *, backoff: Backoff, sleep: Sleep = asyncio.sleep
    ) -> None:
        """Offer these sizes from now on."""
        self._sizes = sizes
        if self.application_id is None:
            return  # setup_hook tells them
        try:
            await persist(
                self._tell,
                "telling Discord the commands",
                is_passing=is_passing,
                backoff=backoff,
                sleep=sleep,
            )
        except EDIT_ERRORS as error:
            log.error("Discord still offers the old sizes: %r", error)  # noqa: TRY400 - no trace needed

    async def _tell(self) -> None:
        async with self._telling:
            self._tree.clear_commands(guild=None)
            guilds = [discord.Object(guild_id) for guild_id in self._guild_ids]
            for command in (self._command.build(self._sizes), self._jobs.build()):
                self._tree.add_command(
                    command, override=True, guilds=guilds or discord.utils.MISSING
                )
            try:
                await sync_if_changed(
                    self._tree,
                    self._guild_ids,
                    self._record,
                    model=self._model,
                    sizes=self._sizes,
                )
            except (discord.Forbidden, app_commands.CommandSyncFailure) as error:
                # Not worth going offline: what Discord was told before still works.
                log.error(  # noqa: TRY400 - no trace needed
                    "Discord refuses the commands: %s. Invite the bot with the scope "
                    "applications.commands to every server in [discord] guild_ids.",
                    error,
                )
