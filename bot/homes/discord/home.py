"""Discord as a home: its cards and its connection, put together."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from bot.core import card
from bot.core.case import AtDesk, Notice
from bot.core.job import Job, Origin, Record
from bot.core.moderators import Moderators
from bot.core.ports.bots import Bots
from bot.core.ports.gallery import Picture
from bot.core.ports.home import LendPictures, Shard
from bot.core.ports.ledger import Ledger
from bot.core.privacy import Privacy
from bot.core.queue.waiting import JobQueue
from bot.core.stage import Stage
from bot.core.studio import Studio
from bot.core.wish import Usual
from bot.homes.cards.desk import CardDesk, OnMessage
from bot.homes.cards.pace import MakeThrottle, edit_throttle
from bot.homes.discord.admin_command import AdminCommand
from bot.homes.discord.calls import Calls
from bot.homes.discord.card_presses import CardPresses
from bot.homes.discord.client import ImagineClient
from bot.homes.discord.commands import ImagineCommand
from bot.homes.discord.connection import DiscordConnection
from bot.homes.discord.deletions import Deletions
from bot.homes.discord.desk_message import DeskMessages
from bot.homes.discord.desk_presses import DeskPresses
from bot.homes.discord.direct_messages import DirectMessages
from bot.homes.discord.editing import Editing
from bot.homes.discord.endpoints import ElsewhereConnector
from bot.homes.discord.intake import HOME, Intake
from bot.homes.discord.jobs_command import JobsCommand
from bot.homes.discord.message import CardMessage
from bot.homes.discord.pages import Pages
from bot.homes.discord.picture_menus import PictureMenus
from bot.homes.discord.places import Offered
from bot.homes.discord.privacy_command import PrivacyCommand
from bot.homes.discord.refusal import say_instead_of_card
from bot.homes.discord.report_menu import ReportMenu
from bot.homes.discord.settings_command import SettingsCommand
from bot.homes.discord.shards import ShardSettings, ShardWatch, Share
from bot.homes.discord.sync import CommandRecord, Size
from bot.homes.discord.uploads import Uploads
from bot.homes.discord.voice import Voice
from bot.homes.discord.words_commands import WordsCommands
from bot.languages.languages import Languages
from bot.shared import descriptors
from bot.shared.retry import Sleep
from bot.shared.secret import Secret
from sdxl_engine.sentence import say

log = logging.getLogger(__name__)

# Of what may be open some is the ledger's, the pictures' and the gateway's, and of the rest a third
# carries cards. What people ask is acknowledged over the others, within seconds.
_KEPT_FREE: Final = 32
_FOR_CARDS: Final = 3
_MAX_CONNECTIONS: Final = 512


@dataclass(frozen=True, slots=True)
class DiscordSettings:
    """What a Discord home is told.

    token                 the bot's
    usual                 what is drawn where an option is left out
    model                 whose sizes are offered
    api_url, gateway_url  empty is the real Discord
    guild_ids             the servers that have the commands; empty is everywhere
    offered               in what places the commands are, where they are everywhere
    role_weights          the share of people with these roles, by role id; 1 is anybody's
    sizes                 what is offered until the engine is warm; empty is what was last time
    record                the file that keeps what Discord was told last; None keeps it in memory
    shards                into how many parts what Discord tells is cut, and for how many bots
    """

    token: Secret
    usual: Usual
    model: str
    api_url: str = ""
    gateway_url: str = ""
    guild_ids: tuple[int, ...] = ()
    offered: Offered = field(default_factory=Offered)
    role_weights: Mapping[int, float] = field(default_factory=dict)
    sizes: tuple[Size, ...] = ()
    record: Path | None = None
    shards: ShardSettings = field(default_factory=ShardSettings)


class DiscordHome:
    """Implements `Home`.

    queue, ledger  as `CardDesk` needs them
    languages      those in which people are answered
    throttle       makes what holds the edits of one channel apart
    call_limit_s   how long a call may take that carries no pictures; None is the usual time
    bots           say which of the shards are this one's, and whether it tells the commands
    """

    name = HOME

    def __init__(
        self,
        settings: DiscordSettings,
        queue: JobQueue,
        ledger: Ledger,
        languages: Languages,
        *,
        throttle: MakeThrottle = edit_throttle,
        call_limit_s: float | None = None,
        bots: Bots,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._settings = settings
        self._languages = languages
        self._connections = min(max(descriptors.free() - _KEPT_FREE, 8), _MAX_CONNECTIONS)
        at_once = max(self._connections // _FOR_CARDS, 1)
        self._calls = Calls(at_once, limit_s=call_limit_s, sleep=sleep)
        self._record = CommandRecord(settings.record)
        self._connection = DiscordConnection(settings.token, sleep=sleep)
        self._bots = bots
        self._share = Share(settings.shards, self._bots, sleep=sleep)
        self._watch = ShardWatch()
        self._desk = CardDesk(queue, ledger, self._message, throttle=throttle, sleep=sleep)
        client = self._connection.client
        self._cases = DeskMessages(client, self._calls, languages)
        self._direct = DirectMessages(client, self._calls, languages)
        self._sleep = sleep

    @property
    def is_online(self) -> bool:
        """See `Home.is_online`."""
        return self._connection.is_online

    @property
    def stands_by(self) -> bool:
        """See `Home.stands_by`."""
        return self._share.stands_by

    @property
    def shards(self) -> Sequence[Shard]:
        """See `Home.shards`."""
        return self._connection.shards

    def attend(self, studio: Studio, moderators: Moderators, privacy: Privacy) -> None:
        """See `Home.attend`."""
        self._privacy = privacy
        self._studio = studio
        self._moderators = moderators
        self._deletions = Deletions(moderators, sleep=self._sleep)
        self._desk.report_to(studio)

    async def run(self) -> None:
        """See `Home.run`."""
        settings = self._settings
        # Of what is in named servers Discord is told no places: there it is nowhere else.
        offered = Offered(nsfw=settings.offered.nsfw) if settings.guild_ids else settings.offered
        intake = Intake(self._studio, settings.role_weights, offered)
        uploads = Uploads(self._studio)
        command = ImagineCommand(self._studio, intake, uploads, settings.usual)
        editing = Editing(self._studio, intake, uploads)
        cards = CardPresses(self._studio, intake, editing)
        menus = PictureMenus(self._studio, intake, uploads)
        jobs = JobsCommand(self._studio)
        await self._connection.run(
            lambda logged_in: ImagineClient(
                command,
                jobs,
                cards,
                editing,
                menus,
                SettingsCommand(self._studio, command),
                Pages(self._studio),
                WordsCommands(self._studio, settings.usual),
                PrivacyCommand(self._privacy),
                AdminCommand(self._studio, self._moderators),
                ReportMenu(self._studio, self._moderators),
                DeskPresses(self._moderators),
                self._deletions,
                self._record,
                logged_in,
                ElsewhereConnector(settings.api_url, settings.gateway_url, limit=self._connections),
                self._calls,
                self._connection.client,
                self._languages,
                self._bots,
                self._share,
                self._watch,
                guild_ids=settings.guild_ids,
                offered=offered,
                model=settings.model,
                sizes=settings.sizes,
                sleep=self._sleep,
            )
        )

    async def offer(self, sizes: tuple[Size, ...]) -> None:
        """See `Home.offer`."""
        await self._connection.offer(sizes)

    def show(self, job: Job, stage: Stage, *, at_once: bool = False) -> None:
        """See `Home.show`."""
        self._desk.show(job, stage, at_once=at_once)

    def places_changed(self) -> None:
        """See `Home.places_changed`."""
        self._desk.places_changed()

    async def deliver(self, job: Job, lend: LendPictures) -> None:
        """See `Home.deliver`."""
        await self._desk.deliver(job, lend)

    async def tell(self, job: Job, sentence: str, *, takes_back: bool) -> None:
        """See `Home.tell`."""
        await self._desk.tell(job, sentence, takes_back=takes_back)

    async def mention(self, job: Job) -> None:
        """See `Home.mention`."""
        try:
            await self._message(job, _unheard).mention(say("Your pictures are there."))
        except Exception as error:  # noqa: BLE001 - whatever Discord answered: tried once
            log.warning("the person could not be mentioned: %r", error)

    async def apologize(self, origin: Origin, sentence: str, locale: str) -> None:
        """See `Home.apologize`."""
        await say_instead_of_card(
            self._connection.client,
            self._calls,
            origin.token,
            sentence,
            Voice(self._languages, locale),
        )

    async def amend(self, record: Record) -> None:
        """See `Home.amend`."""
        shown = card.standing_card(record) if record.deleted is None else card.deleted_card(record)
        await self._message(record.job, _unheard).edit(shown)

    async def show_case(self, one: AtDesk, pictures: Sequence[Picture]) -> str:
        """See `Home.show_case`."""
        return await self._cases.show(one, pictures)

    async def notify(self, notice: Notice) -> None:
        """See `Home.notify`."""
        await self._direct.tell(notice)

    async def forget(self, job: Job) -> None:
        """See `Home.forget`."""
        await self._desk.forget(job)

    async def close(self, timeout_s: float) -> None:
        """See `Home.close`."""
        await self._desk.close(timeout_s)
        await self._connection.close()
        await self._deletions.close(timeout_s)

    def _message(self, job: Job, on_message: OnMessage) -> CardMessage:
        voice = Voice(self._languages, job.person.locale)
        return CardMessage(job, voice, self._connection.client, self._calls, on_message)


async def _unheard(_message: str) -> None:
    """Which message it is is known where a card was shown."""
