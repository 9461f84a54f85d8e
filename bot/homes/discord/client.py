"""The bot as Discord sees it: one client, its commands, one handler for their errors."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any, Final, get_args

import discord
from discord import app_commands

from bot.core.job import new_job_id
from bot.core.ports.bots import Bots
from bot.errors import WrongPlaceError
from bot.homes.discord import dialogs
from bot.homes.discord.acknowledgement import counting_trace
from bot.homes.discord.admin_command import AdminCommand
from bot.homes.discord.buttons import (
    DeskPress,
    Interaction,
    ListPress,
    PagePress,
    Press,
    PressButton,
    PrivacyPress,
)
from bot.homes.discord.calls import (
    DISCORD_ERRORS,
    Calls,
    GetClient,
    is_final,
    is_passing,
    of_press,
    retry_after_s,
)
from bot.homes.discord.card_presses import CardPresses
from bot.homes.discord.commands import ImagineCommand
from bot.homes.discord.deletions import Deletions
from bot.homes.discord.desk_presses import DeskPresses
from bot.homes.discord.editing import Editing
from bot.homes.discord.endpoints import ElsewhereConnector
from bot.homes.discord.jobs_command import JobsCommand
from bot.homes.discord.pages import Pages
from bot.homes.discord.picture_menus import PictureMenus
from bot.homes.discord.places import Offered
from bot.homes.discord.privacy_command import PrivacyCommand
from bot.homes.discord.refusal import refuse
from bot.homes.discord.report_menu import ReportMenu
from bot.homes.discord.settings_command import SettingsCommand
from bot.homes.discord.sharded import ShardedClient
from bot.homes.discord.shards import ShardWatch, Share
from bot.homes.discord.sync import CommandRecord, Size, sync_if_changed
from bot.homes.discord.translator import CommandTranslator
from bot.homes.discord.words_commands import WordsCommands
from bot.languages.languages import Languages
from bot.shared.job_context import in_job
from bot.shared.retry import Backoff, Sleep, persist

log = logging.getLogger(__name__)

_TELLING: Final = Backoff()
_LOOK_AT_COMMANDS_EVERY_S: Final = 3_600.0
_LOOK_WHO_TELLS_EVERY_S: Final = 5.0
# The shortest that discord.py waits for by itself; for longer the call fails, and we wait.
_MAX_RATELIMIT_S: Final = 30.0
# A connection that does not begin is no connection: it is made anew.
_VITAL_EVENTS: Final = frozenset({"READY", "RESUMED"})
# What people write is none of the bot's business, and is to cost it nothing.
_UNHEARD_EVENTS: Final = ("MESSAGE_CREATE", "MESSAGE_UPDATE")


class Tree(app_commands.CommandTree[Any]):
    """The commands, with one handler for whatever goes wrong before one of them is run.

    offered  where they are; Discord may still know them as they were told before
    is_told  whether that is to be told: a server's own commands are in that server alone anyway
    """

    def __init__(self, client: discord.Client, offered: Offered, *, is_told: bool) -> None:
        unsaid = discord.utils.MISSING
        super().__init__(
            client,
            allowed_contexts=offered.app_contexts if is_told else unsaid,
            allowed_installs=offered.app_installs if is_told else unsaid,
        )
        self._offered = offered

    async def interaction_check(self, interaction: Interaction, /) -> bool:
        """Whether a command is run; the person is told why not."""
        try:
            self._offered.check(interaction)
        except WrongPlaceError as error:
            await self.on_error(interaction, error)
            return False
        return True

    async def on_error(
        self, interaction: Interaction, error: app_commands.AppCommandError | WrongPlaceError, /
    ) -> None:
        """Tell the person, unseen by others; who was only typing is told nothing."""
        if interaction.type is discord.InteractionType.autocomplete:
            log.warning("outdated command: %s", error)
            return
        job_id = new_job_id()
        with in_job(job_id):
            await refuse(interaction, error, job_id)


class ImagineClient(ShardedClient):
    """A client that is good for one login.

    command    builds /imagine
    jobs       builds /jobs, and knows what its buttons do
    cards      knows what the buttons below pictures do
    editing    draws what a dialog about a job asks for
    menus      builds /recipe and what messages offer, and knows what their dialogs do
    settings   builds /settings
    pages      builds /history and /favourites, and turns their pages
    words      builds /queue, /about and /help
    privacy    builds /privacy, and knows what its button does
    admin      builds /imagine-admin
    report     builds the entry with which messages are reported, and knows what its dialog does
    desk       knows what moderators press at their desk, and what their dialogs do
    deletions  hears what was deleted in Discord
    guild_ids  the servers that have it; empty is everywhere
    offered    in what places it is
    record     what Discord was told last
    logged_in  is set once requests can be sent
    connector  says where Discord is; closed with the client
    calls      makes the calls that answer people
    live       waits for the client that is logged in, this one or its successor
    languages  those in which people are answered
    bots       knows whether this one tells Discord the commands
    share, watch, sleep  as in `ShardedClient`
    model      whose sizes are offered
    sizes      those of config.toml; empty is whatever was offered last time
    """

    def __init__(
        self,
        command: ImagineCommand,
        jobs: JobsCommand,
        cards: CardPresses,
        editing: Editing,
        menus: PictureMenus,
        settings: SettingsCommand,
        pages: Pages,
        words: WordsCommands,
        privacy: PrivacyCommand,
        admin: AdminCommand,
        report: ReportMenu,
        desk: DeskPresses,
        deletions: Deletions,
        record: CommandRecord,
        logged_in: asyncio.Event,
        connector: ElsewhereConnector,
        calls: Calls,
        live: GetClient,
        languages: Languages,
        bots: Bots,
        share: Share,
        watch: ShardWatch,
        *,
        guild_ids: Sequence[int],
        offered: Offered,
        model: str,
        sizes: Sequence[Size],
        sleep: Sleep,
    ) -> None:
        intents = discord.Intents.none()
        intents.guilds = True  # which servers and channels there are; not privileged
        intents.guild_messages = True  # which are deleted; not privileged either
        super().__init__(
            share,
            watch,
            sleep=sleep,
            intents=intents,
            allowed_mentions=discord.AllowedMentions.none(),
            max_messages=None,
            connector=connector,
            http_trace=counting_trace(),
            max_ratelimit_timeout=_MAX_RATELIMIT_S,
        )
        parsers = self._connection.parsers
        for event in _UNHEARD_EVENTS:
            del parsers[event]
        for event in parsers.keys() - _VITAL_EVENTS:
            parsers[event] = _on_its_own(event, parsers[event])
        self.calls = calls
        self.live = live
        self.languages = languages
        self._logged_in = logged_in
        self._offered = offered
        self._tree = Tree(self, self._offered, is_told=not guild_ids)
        self._command = command
        self._jobs = jobs
        self._cards = cards
        self._editing = editing
        self._menus = menus
        self._settings = settings
        self._pages = pages
        self._words = words
        self._privacy = privacy
        self._admin = admin
        self._report = report
        self._desk = desk
        self._deletions = deletions
        self._record = record
        self._bots = bots
        self._guild_ids = guild_ids
        self._model = model
        self._sizes = sizes or record.sizes(model)
        self._news = asyncio.Event()  # Discord may have to be told something
        self._telling: asyncio.Task[None] | None = None

    async def setup_hook(self) -> None:
        """Told by discord.py between login and the first connection."""
        self._logged_in.set()
        self.add_dynamic_items(PressButton)
        await self._tree.set_translator(CommandTranslator(self.languages))
        # Beside the connection, which is worth having whatever comes of it.
        self._telling = asyncio.create_task(self._keep_told(), name="commands")

    async def on_interaction(self, interaction: Interaction) -> None:
        """Told by discord.py of all there are; commands and presses have their own ways."""
        if interaction.type is not discord.InteractionType.modal_submit:
            return
        filled = dialogs.read(interaction)
        if filled is None:
            log.warning("a dialog of nobody's was sent")
        elif filled.kind == "edit":
            await self._editing.sent(interaction, filled)
        elif filled.kind in {"begin", "start"}:
            await self._menus.sent(interaction, filled)
        else:
            reasons: ReportMenu | DeskPresses = self._desk
            if filled.kind == "report":
                reasons = self._report
            await _answered(interaction, reasons.sent(interaction, filled))

    async def on_raw_message_delete(self, gone: discord.RawMessageDeleteEvent) -> None:
        """Told by discord.py of all there are."""
        self._deletions.message(gone.message_id)

    async def on_raw_bulk_message_delete(self, gone: discord.RawBulkMessageDeleteEvent) -> None:
        """Told by discord.py of several at once."""
        for message_id in gone.message_ids:
            self._deletions.message(message_id)

    async def on_guild_channel_delete(self, gone: discord.abc.GuildChannel) -> None:
        """Told by discord.py of a channel that is no thread."""
        self._deletions.channel(gone.guild.id, gone.id)

    async def on_raw_thread_delete(self, gone: discord.RawThreadDeleteEvent) -> None:
        """Told by discord.py of a thread."""
        self._deletions.channel(gone.guild_id, gone.thread_id)

    async def press(self, interaction: Interaction, press: Press) -> None:
        """See `buttons.Presses`."""
        presses: JobsCommand | Pages | PrivacyCommand | CardPresses | DeskPresses = self._cards
        if press.kind in get_args(ListPress):
            presses = self._jobs
        elif press.kind in get_args(PagePress):
            presses = self._pages
        elif press.kind in get_args(PrivacyPress):
            presses = self._privacy
        elif press.kind in get_args(DeskPress):
            presses = self._desk
        await _answered(interaction, presses.press(interaction, press))

    def offer(self, sizes: Sequence[Size]) -> None:
        """Offer these sizes from now on."""
        self._sizes = sizes
        self._news.set()

    async def close(self) -> None:
        """Go offline."""
        if self._telling is not None:
            self._telling.cancel()
            await asyncio.gather(self._telling, return_exceptions=True)
        await super().close()

    async def _keep_told(self) -> None:
        """Tell Discord the commands whenever it does not know them as they are, if it is for us."""
        while True:
            self._news.clear()
            self._build()
            tells = self._bots.is_chief
            if tells:
                await persist(
                    self._tell,
                    "telling Discord the commands",
                    is_passing=is_passing,
                    retry_after_s=retry_after_s,
                    backoff=_TELLING,
                )
            with suppress(TimeoutError):
                look_s = _LOOK_AT_COMMANDS_EVERY_S if tells else _LOOK_WHO_TELLS_EVERY_S
                async with asyncio.timeout(look_s):
                    await self._news.wait()

    def _build(self) -> None:
        """Make the tree what is offered now: whoever told Discord, each bot finds its own there."""
        self._tree.clear_commands(guild=None)
        guilds = [discord.Object(guild_id) for guild_id in self._guild_ids]
        sizes = self._sizes
        orderly: list[Any] = []
        if self._offered.in_servers:
            orderly = [self._admin.build(sizes), self._report.build()]
        for command in (
            self._command.build(sizes),
            self._jobs.build(),
            self._settings.build(sizes),
            *self._pages.build(),
            *self._menus.build(),
            *self._words.build(),
            self._privacy.build(),
            *orderly,
        ):
            command.nsfw = self._offered.nsfw
            self._tree.add_command(command, override=True, guilds=guilds or discord.utils.MISSING)

    async def _tell(self) -> None:
        try:
            await sync_if_changed(
                self._tree,
                self._guild_ids,
                self._record,
                model=self._model,
                sizes=self._sizes,
            )
        except discord.HTTPException as error:
            if is_passing(error):
                raise
            # Not worth going offline: what Discord was told before still works.
            log.error(  # noqa: TRY400 - no trace needed
                "Discord refuses the commands: %s. Invite the bot with the scope "
                "applications.commands to every server in [discord] guild_ids; where [discord] "
                "installs names users, allow User Install in the developer portal.",
                error,
            )


async def _answered(interaction: Interaction, answering: Awaitable[None]) -> None:
    """Have a press, or what was filled in, answered; what goes wrong is told the one who did it."""
    try:
        await answering
    except DISCORD_ERRORS as error:
        log.warning("a press was not answered: %r", error)
        if is_final(error):
            await refuse(interaction, of_press(error), new_job_id())
    except Exception as error:  # noqa: BLE001 - whatever it is, the one who pressed must hear
        await refuse(interaction, error, new_job_id())


def _on_its_own(event: str, parse: Callable[[Any], None]) -> Callable[[Any], None]:
    """What reads one event, so that one that makes no sense costs that event and nothing else."""

    def guarded(data: Any) -> None:  # noqa: ANN401 - whatever Discord sent
        try:
            parse(data)
        except Exception:
            log.exception("an event of Discord's cannot be understood: %s", event)

    return guarded
