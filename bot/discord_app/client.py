"""The bot as Discord sees it: one client, its commands, one handler for their errors."""

import asyncio
import logging
from collections.abc import Sequence
from typing import Any

import discord
from discord import app_commands

from bot.backoff import Backoff, Sleep, persist
from bot.discord_app.card import failure_text
from bot.discord_app.commands import JOB_ID, ImagineCommand
from bot.discord_app.desk import CardDesk
from bot.discord_app.explain import explain
from bot.discord_app.message import EDIT_ERRORS, Interaction, is_passing
from bot.discord_app.sync import CommandRecord, Size, sync_if_changed
from bot.jobs import new_job_id
from bot.log import in_job

log = logging.getLogger(__name__)

# Two warnings at every start about packages for voice, which this bot has no use for.
discord.VoiceClient.warn_nacl = False
discord.VoiceClient.warn_dave = False


class Tree(app_commands.CommandTree[Any]):
    """The commands, with one handler for whatever goes wrong in any of them.

    desk  has the card of the job that an error belongs to
    """

    def __init__(self, client: discord.Client, desk: CardDesk) -> None:
        super().__init__(client)
        self._desk = desk

    async def on_error(
        self, interaction: Interaction, error: app_commands.AppCommandError, /
    ) -> None:
        """Tell the person: on the card, or unseen by others where there is none."""
        job_id = interaction.extras.get(JOB_ID) or new_job_id()
        with in_job(job_id):
            if self._desk.refuse(job_id, error):
                return
            sentence = failure_text(explain(error, job_id))
            try:
                await interaction.response.send_message(sentence, ephemeral=True)
            except EDIT_ERRORS as unsaid:
                log.warning("the person could not be told: %r", unsaid)


class ImagineClient(discord.Client):
    """A client that is good for one login.

    command    builds /imagine
    guild_ids  the servers that have it; empty is everywhere
    record     what Discord was told last
    model      whose sizes are offered
    sizes      those of config.toml; empty is whatever was offered last time
    """

    def __init__(
        self,
        command: ImagineCommand,
        desk: CardDesk,
        record: CommandRecord,
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
        )
        self.was_online = False
        self._tree = Tree(self, desk)
        self._command = command
        self._record = record
        self._guild_ids = guild_ids
        self._model = model
        self._sizes = sizes or record.sizes(model)
        self._telling = asyncio.Lock()

    async def setup_hook(self) -> None:
        """Told by discord.py between login and the first connection."""
        await self._tell()

    async def on_connect(self) -> None:
        """Told by discord.py when a session has begun."""
        self.was_online = True
        log.info("online as %s", self.user)

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
            self._tree.add_command(
                self._command.build(self._sizes),
                override=True,
                guilds=guilds or discord.utils.MISSING,
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
