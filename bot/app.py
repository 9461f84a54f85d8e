"""The composition root: configuration in, a running whole out."""

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

from bot.config.reading import SlackTokens
from bot.config.sections import Config
from bot.core.clerk import Clerk
from bot.core.events import Events
from bot.core.gate import Gate
from bot.core.moderators import Moderators
from bot.core.policy import Limits
from bot.core.ports.bots import Bots
from bot.core.ports.engine import Engine
from bot.core.ports.home import Home
from bot.core.ports.ledger import Ledger, Look
from bot.core.privacy import Privacy
from bot.core.queue.waiting import JobQueue
from bot.core.removal import Removal
from bot.core.rules import Rules
from bot.core.studio import Studio
from bot.core.verdict import Term, Thresholds
from bot.core.worker import RESTARTING, Worker
from bot.engines.loading import usual_of
from bot.engines.local import LocalEngine
from bot.engines.marks import marks_of
from bot.errors import EngineStuckError, GalleryError, LedgerError
from bot.gallery.gallery import ObjectGallery
from bot.gallery.opening import objects_at
from bot.languages.languages import Languages, shipped
from bot.ledgers.ledger import DatabaseLedger
from bot.ledgers.records import Records
from bot.ledgers.registry import DatabaseRegistry
from bot.ledgers.sqlite.records import SqliteRecords
from bot.moderation.lists import owners_lists
from bot.moderation.prompt_filter import ListFilter
from bot.operations.crew import Crew, keep_watch
from bot.operations.health import HealthServer
from bot.operations.housekeeping import (
    UNCLAIMED_AFTER_S,
    forget_unclaimed,
    forget_undrawn,
    keep_clean,
    keep_orders,
)
from bot.operations.metrics import Metrics
from bot.operations.watch import (
    silence_limit_s,
    tirelessly,
    watch_disk,
    watch_engine,
    watch_lag,
)
from bot.shared.data_folder import COMMANDS, SLACK_TOKEN
from bot.shared.retry import Sleep
from bot.shared.secret import Secret
from sdxl_engine.request import ImageRequest, ModelCard

if TYPE_CHECKING:  # discord.py comes with the home that needs it, Ray where there is a pool
    from bot.engines.pool.parts import BotPart
    from bot.homes.cards.pace import MakeThrottle
    from bot.homes.slack.connection import WayIn
    from sdxl_engine import Pipeline

log = logging.getLogger(__name__)

# A home of this bot; the queue says where jobs stand, the ledger which message a card is, the bots
# which part of what people wish is this one's.
MakeHome = Callable[[JobQueue, Ledger, Bots], Home]


_LAST_WORDS_S: Final = 10.0  # for the last edits of the cards
_ENGINE_STOP_S: Final = 5.0  # for the step that the device is in


class OwnEngine(Engine, Protocol):
    """The engine, for whoever begins and ends it."""

    @property
    def is_alive(self) -> bool:
        """Whether a thread still runs, which `close` could not end."""

    async def run(self) -> None:
        """Begin, and stay in touch until it is cancelled; raises what nobody foresaw."""

    async def close(self, timeout_s: float) -> None:
        """Let go of what is drawn, and wait at most so long for it."""


class App:
    """The whole bot in one event loop, as `imagine serve` and the playground run it.

    config          what is offered, how much is taken in, how it is watched
    draws           makes the warm pipeline, on the engine's thread; or a pool of engines
    homes           where people are
    folder          of the ledger and the pictures, where neither is configured to be elsewhere
    records         where the ledger is instead
    last_words      what a card of an open job says when the bot stops
    start_empty     if the ledger is lost or damaged, put it aside and make a new one
    bots            those that share the work with this one; None: as the ledger has it
    clock           seconds; by it the engine's silence is measured
    """

    def __init__(
        self,
        config: Config,
        draws: "Callable[[], Pipeline] | BotPart",
        homes: Sequence[MakeHome],
        folder: Path,
        *,
        records: Records | None = None,
        last_words: str = RESTARTING,
        start_empty: bool = False,
        bots: Bots | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._config = config
        self.metrics = Metrics()
        self.engine: OwnEngine
        if callable(draws):
            self.engine, turns = LocalEngine(draws, clock=clock), None
        else:
            self.engine, turns = draws
            turns.on_places = self._places_changed
        records = SqliteRecords(folder) if records is None else records
        self.ledger = DatabaseLedger(records.database(start_empty=start_empty))
        self.queue = JobQueue(turns)
        self._gallery = ObjectGallery(
            objects_at(config.storage.pictures, folder), self._card_of, marks_of(config.marks)
        )
        self._crew = Crew(self.ledger)
        made = [make(self.queue, self.ledger, bots or self._crew) for make in homes]
        self.homes = {home.name: home for home in made}
        events = Events(self.metrics.hear)
        usual = usual_of(config)
        registry = DatabaseRegistry(self.ledger.database)
        self._filter = ListFilter(_terms_of(config))
        policy = config.policy
        self._gate = gate = Gate(
            registry,
            self._filter,
            Thresholds(dict(policy.picture_review), dict(policy.picture_block)),
            adult=frozenset(policy.adult_categories),
            usual=_rules_of(config),
        )
        self._clerk = Clerk(registry, self._gallery, self.homes)
        self._worker = Worker(
            self.engine,
            self.ledger,
            self.queue,
            self._gallery,
            self.homes,
            events,
            gate=gate,
            clerk=self._clerk,
            usual=usual,
            last_words=last_words,
        )
        removal = Removal(self.ledger, registry, self._gallery, self._worker, self._clerk)
        self.studio = Studio(
            self.engine,
            self.ledger,
            self.queue,
            self._gallery,
            self._worker,
            events,
            gate=gate,
            registry=registry,
            clerk=self._clerk,
            removal=removal,
            usual=usual,
            limits=_limits_of(config),
            logs_prompts=config.log.prompts,
        )
        self.moderators = Moderators(
            gate,
            registry,
            self.ledger,
            removal,
            self._worker,
            self._clerk,
            self._filter,
            keep_days=config.storage.keep_days,
        )
        self.privacy = Privacy(
            self.ledger,
            registry,
            self._gallery,
            self._worker,
            self._clerk,
            keep_days=config.storage.keep_days,
        )
        for home in self.homes.values():
            home.attend(self.studio, self.moderators, self.privacy)
        self.health = HealthServer(
            self.metrics,
            alive={"the engine answers": lambda: not self._is_stuck()},
            ready={
                "the engine is warm": lambda: self.engine.model is not None,
                **{
                    f"{name.capitalize()} is connected": partial(_is_online, home)
                    for name, home in self.homes.items()
                },
                **{
                    f"a part of {name.capitalize()} is this bot's": partial(_has_part, home)
                    for name, home in self.homes.items()
                },
                "the disk can be written": lambda: self._worker.disk_is_writable,
            },
        )
        self.metrics.gauge("queue_length", "Jobs that wait.", lambda: len(self.queue))
        self.metrics.shards(
            lambda: [(name, one) for name, home in self.homes.items() for one in home.shards]
        )
        self.metrics.gauge(
            "engine_silent_seconds",
            "For how long the job on the device has given no sign of life.",
            lambda: self.engine.silent_s,
        )

    def _card_of(self, request: ImageRequest) -> ModelCard:
        model = self.engine.model
        if model is None:  # what drew it is gone, with what it knew of its files
            return ModelCard(request.model or self._config.engine.model_name)
        return model.card(request)

    @property
    def is_alive(self) -> bool:
        """Whether a call still runs that a stop could not end."""
        return self.engine.is_alive or self._gallery.is_alive

    async def run(self, stop: asyncio.Event) -> None:
        """Serve until `stop` is set, then finish or put back what runs.

        A call of the device or of a store that hangs may outlive this, on its thread: `is_alive`.
        Raises EngineStartError, EngineStuckError, LedgerError, LoginError, ConfigError.
        """
        # Before anybody can ask: the first wish would wait, and die with the process that waits.
        try:
            await asyncio.gather(
                asyncio.to_thread(self.ledger.open, tuple(self.homes), is_stopping=stop.is_set),
                asyncio.to_thread(self._filter.make_ready),
            )
        except LedgerError:
            if stop.is_set():
                return
            raise
        try:
            await self._serve(stop)
        finally:
            await asyncio.to_thread(self.ledger.close)

    async def _serve(self, stop: asyncio.Event) -> None:
        if self._config.health.port:
            await self.health.start(self._config.health.port)
        await self._look_at_pictures()
        first = await self.ledger.look(outlived=self.engine.outlives)
        self._worker.restore(first.records, first.unanswered)
        self._crew.becomes(chief=first.is_chief)
        stopping = asyncio.create_task(stop.wait(), name="stop")
        taken = asyncio.create_task(self.ledger.database.taken(), name="ledger")
        watches = [asyncio.create_task(watch) for watch in self._watches(first)]
        vital = [
            asyncio.create_task(self.engine.run(), name="engine"),
            self._worker.start(),
            *(asyncio.create_task(home.run(), name=home.name) for home in self.homes.values()),
            asyncio.create_task(self._crew.does(self._clerk.run), name="clerk"),
            taken,
            *watches,
            stopping,
        ]
        helpers = [
            asyncio.create_task(self._offer_sizes(), name="sizes"),
            asyncio.create_task(self._crew.does(self._gallery.mend), name="mend"),
            asyncio.create_task(self._crew.does(self._forget), name="forget"),
            asyncio.create_task(watch_lag(self.metrics.loop_lag_s.observe), name="lag"),
        ]
        stuck: EngineStuckError | None = None
        try:
            done, _ = await asyncio.wait(vital, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        except EngineStuckError as error:
            stuck = error
            raise
        finally:
            log.info("stopping")
            # A start that is under way cannot be stopped; it ends with the process.
            engine_s = _ENGINE_STOP_S if self.engine.model is not None and not stuck else 0
            disowned = taken.done()
            async with AsyncExitStack() as last:  # in reverse, each whatever becomes of the others
                last.callback(log.info, "stopped")
                last.push_async_callback(self.engine.close, engine_s)
                last.callback(self._gallery.close)
                last.push_async_callback(self.health.close)
                last.push_async_callback(_end, [*vital, *helpers])
                for home in self.homes.values():
                    last.push_async_callback(home.close, 0 if disowned else _LAST_WORDS_S)
                grace_s = self._config.jobs.shutdown_grace_s
                drain = partial(self._worker.drain, grace_s, stuck=stuck, disowned=disowned)
                last.push_async_callback(drain)
                last.push_async_callback(_end, watches)

    async def _look_at_pictures(self) -> None:
        """Find out whether pictures can be kept, before anybody asks for some."""
        try:
            await self._worker.noting_trouble(self._gallery.probe, kept="pictures")
        except GalleryError as error:  # whoever asks reads it, until it is well by itself
            log.warning("no pictures can be kept yet: %s", error)
        else:
            if not self.ledger.database.is_shared:  # else other bots bring some now
                await forget_unclaimed(self.ledger, self._gallery)

    async def _forget(self) -> None:
        """Delete what was left of jobs that came to nothing."""
        await forget_undrawn(self.ledger, self._gallery)
        if self.ledger.database.is_shared:
            await forget_unclaimed(self.ledger, self._gallery, after_s=UNCLAIMED_AFTER_S)

    def _watches(self, first: Look) -> list[Coroutine[Any, Any, None]]:
        """What runs for as long as the bot does, and ends it where it fails.

        first  what was found in the ledger at the start
        """
        keep_days = self._config.storage.keep_days
        keepers: list[Callable[[], Coroutine[Any, Any, None]]] = [
            lambda: keep_orders(self.ledger, self.studio),
            lambda: keep_clean(self.ledger, self._gallery, keep_days, self.moderators),
        ]
        watches = [
            *(tirelessly(partial(self._crew.does, keeper)) for keeper in keepers),
            tirelessly(lambda: watch_disk(self._worker)),
            keep_watch(
                self.ledger,
                self._worker,
                self._gate,
                self._clerk,
                self._crew,
                first,
                outlived=self.engine.outlives,
                shares_pictures=bool(self._config.storage.pictures),
            ),
        ]
        stuck_after_s = self._config.engine.stuck_after_s
        if stuck_after_s:
            watches.append(
                watch_engine(self.engine, stuck_after_s, is_starting=self._engine_is_starting)
            )
        return watches

    def _places_changed(self) -> None:
        for home in self.homes.values():
            home.places_changed()

    def _is_stuck(self) -> bool:
        starting = self._engine_is_starting()
        limit_s = silence_limit_s(self._config.engine.stuck_after_s, starting=starting)
        return bool(limit_s) and self.engine.silent_s > limit_s

    def _engine_is_starting(self) -> bool:
        return self.engine.model is None

    async def _offer_sizes(self) -> None:
        model = await self.engine.warm()
        await asyncio.gather(*(home.offer(model.sizes) for home in self.homes.values()))


def discord_home(
    config: Config,
    token: Secret,
    folder: Path | None,
    *,
    languages: Languages | None = None,
    throttle: "MakeThrottle | None" = None,
    call_limit_s: float | None = None,
    sleep: Sleep = asyncio.sleep,
) -> MakeHome:
    """Discord, as the configuration has it.

    folder        keeps what Discord was told last; None for a Discord that forgets as well
    languages     those in which people are answered; None is all there are
    throttle      makes what holds the edits of one channel apart
    call_limit_s  how long a call may take that carries no pictures; None is the usual time
    """
    # Here and not above: whoever has another home needs no discord.py.
    from bot.homes.cards.pace import edit_throttle  # noqa: PLC0415
    from bot.homes.discord.home import DiscordHome, DiscordSettings  # noqa: PLC0415
    from bot.homes.discord.places import Offered  # noqa: PLC0415
    from bot.homes.discord.shards import ShardSettings  # noqa: PLC0415

    settings = DiscordSettings(
        token=token,
        usual=usual_of(config),
        model=config.engine.all_models[0],
        api_url=config.discord.api_url,
        gateway_url=config.discord.gateway_url,
        guild_ids=config.discord.guild_ids,
        offered=Offered(
            contexts=frozenset(config.discord.contexts),
            installs=frozenset(config.discord.installs),
            nsfw=config.discord.nsfw,
        ),
        role_weights=dict(config.limits.role_weights),
        sizes=config.engine.sizes,
        record=None if folder is None else folder / COMMANDS,
        shards=ShardSettings(config.discord.shards, config.discord.bots),
    )
    return lambda queue, ledger, bots: DiscordHome(
        settings,
        queue,
        ledger,
        languages or shipped(),
        throttle=throttle or edit_throttle,
        call_limit_s=call_limit_s,
        bots=bots,
        sleep=sleep,
    )


def slack_home(
    config: Config,
    tokens: SlackTokens,
    folder: Path | None = None,
    *,
    languages: Languages | None = None,
    throttle: "MakeThrottle | None" = None,
    call_limit_s: float | None = None,
    now: Callable[[], float] = time.time,
    clock: Callable[[], float] = time.monotonic,
    sleep: Sleep = asyncio.sleep,
) -> MakeHome:
    """Slack, as the configuration has it; the rest as of `discord_home`.

    tokens      what opens it; with an app's token over Socket Mode, else over HTTP
    folder      keeps the bot's next tokens where they end, unless [slack] rotation does; None: they
                are not followed
    now, clock  as in `SlackHome`
    """
    # Here and not above: whoever has another home needs no slack_bolt.
    from bot.homes.cards.pace import edit_throttle  # noqa: PLC0415
    from bot.homes.slack.home import SlackHome, SlackSettings  # noqa: PLC0415
    from bot.homes.slack.http_mode import HttpMode  # noqa: PLC0415
    from bot.homes.slack.rotation import RotationSettings  # noqa: PLC0415
    from bot.homes.slack.socket_mode import SocketMode  # noqa: PLC0415

    slack = config.slack
    way_in: WayIn
    if tokens.app is not None:
        way_in = SocketMode(tokens.app)
        if tokens.signing is not None:
            log.info(
                "There is SLACK_APP_TOKEN as well as SLACK_SIGNING_SECRET: the bot is told over "
                "Socket Mode. Take the first away to be told over HTTP."
            )
    elif tokens.signing is not None:
        way_in = HttpMode(tokens.signing, slack.host, slack.port)
    else:
        raise ValueError("Slack has to tell the bot somehow.")
    rotation = None
    if tokens.rotation is not None and folder is not None:
        rotation = RotationSettings(*tokens.rotation, (slack.rotation or folder) / SLACK_TOKEN)
    settings = SlackSettings(
        tokens.bot, way_in, slack.api_url, frozenset(slack.moderators), rotation
    )
    return lambda queue, ledger, _bots: SlackHome(
        settings,
        queue,
        ledger,
        languages or shipped(),
        throttle=throttle or edit_throttle,
        call_limit_s=call_limit_s,
        now=now,
        clock=clock,
        sleep=sleep,
    )


def _limits_of(config: Config) -> Limits:
    limits = config.limits
    return Limits(
        queued=config.jobs.max_queued,
        person_active=limits.user_active,
        person_per_minute=limits.user_per_minute,
        person_per_day=limits.user_per_day,
        community_per_minute=limits.guild_per_minute,
        community_per_day=limits.guild_per_day,
    )


def _rules_of(config: Config) -> Rules:
    policy = config.policy
    return Rules(
        use=policy.use,
        count=policy.count or None,
        size=policy.size,
        daily=policy.daily or None,
        private=policy.private,
        spoiler=policy.spoiler,
        review=policy.review,
        adult=policy.adult,
    )


def _terms_of(config: Config) -> list[Term]:
    lists = owners_lists(config.filter.file, starter=config.filter.starter)
    return [term for terms in lists.values() for term in terms]


def _is_online(home: Home) -> bool:
    return home.is_online


def _has_part(home: Home) -> bool:
    return not home.stands_by


async def _end(tasks: list["asyncio.Task[Any]"]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
