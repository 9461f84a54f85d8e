"""The running bot: ledger, engine thread, dispatcher, Discord connection; opened and closed."""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, Final

from bot.config.sections import Config
from bot.core.ports.ledger import Limits
from bot.core.queue.waiting import Line
from bot.core.worker import Dispatcher
from bot.errors import EngineStuckError
from bot.gallery.disk import Album
from bot.homes.cards.desk import CardDesk
from bot.homes.cards.pace import MakeThrottle, edit_throttle
from bot.homes.discord.client import ImagineClient
from bot.homes.discord.commands import ImagineCommand
from bot.homes.discord.connection import DiscordConnection
from bot.homes.discord.endpoints import point_client_at
from bot.homes.discord.jobs_command import JobsCommand
from bot.homes.discord.sync import CommandRecord
from bot.ledgers.sqlite.ledger import SqliteLedger
from bot.operations.health import HealthServer
from bot.operations.housekeeping import keep_clean, keep_orders
from bot.operations.lag import watch_lag
from bot.operations.metrics import Metrics
from bot.operations.watch import watch_engine
from bot.shared.futures import wait_for
from bot.shared.secret import Secret
from sdxl_engine import EngineThread, ImageRequest, Pipeline

log = logging.getLogger(__name__)

ALBUM_NAME: Final = "images"
_LAST_WORDS_S: Final = 10.0  # for the last edits of the cards
_ENGINE_STOP_S: Final = 5.0  # for the step that the device is in


class Service:
    """The whole bot in one event loop, as `imagine serve` and the playground run it.

    config          where Discord is, what is offered, how much is taken in
    token           the bot's
    start_pipeline  makes the warm pipeline, on the engine thread
    record          what Discord was told last
    folder          of the ledger and the pictures
    throttle        makes what holds the edits of one channel apart
    """

    def __init__(
        self,
        config: Config,
        token: Secret,
        start_pipeline: Callable[[], Pipeline],
        record: CommandRecord,
        folder: Path,
        *,
        throttle: MakeThrottle = edit_throttle,
    ) -> None:
        point_client_at(config.discord.api_url, config.discord.gateway_url)
        self._config = config
        self.metrics = Metrics()
        self.engine = EngineThread(start_pipeline)
        self.ledger = SqliteLedger(folder, _limits(config))
        self.line = Line()
        self._album = Album(folder / ALBUM_NAME, config.engine.model_name)
        self._desk = CardDesk(self.line, self.ledger, self._client, throttle=throttle)
        self._dispatcher = Dispatcher(
            self.engine,
            self.ledger,
            self.line,
            self._album,
            self._desk,
            self.metrics,
            typical=ImageRequest(
                "what people ask for",
                num_inference_steps=config.engine.default_steps,
                guidance_scale=config.engine.default_guidance,
                num_images=config.engine.images_per_request,
            ),
        )
        role_weights = dict(config.limits.role_weights)
        command = ImagineCommand(config.engine, role_weights, self._dispatcher, self.metrics)
        jobs = JobsCommand(self.ledger, self.line, self._album, self._dispatcher)
        self._connection = DiscordConnection(
            lambda logged_in: ImagineClient(
                command,
                jobs,
                self.metrics,
                record,
                logged_in,
                guild_ids=config.discord.guild_ids,
                model=config.engine.model,
                sizes=config.engine.sizes,
            ),
            token,
        )
        self.health = HealthServer(
            self.metrics,
            alive={"the engine answers": lambda: not self._is_stuck()},
            ready={
                "the engine is warm": lambda: (
                    self.engine.ready.done() and self.engine.ready.exception() is None
                ),
                "Discord is connected": lambda: self._connection.is_online,
                "the disk can be written": lambda: self._dispatcher.disk_is_writable,
            },
        )
        self.metrics.gauge("queue_length", "Jobs that wait.", lambda: len(self.line))
        self.metrics.gauge(
            "engine_silent_seconds",
            "For how long the job on the device has given no sign of life.",
            lambda: self.engine.silent_s,
        )

    async def run(self, stop: asyncio.Event) -> None:
        """Serve until `stop` is set, then finish or put back what runs.

        A device call that hangs may outlive this, on the engine's daemon thread.
        Raises EngineStartError, EngineStuckError, LedgerError, LoginError, ConfigError.
        """
        await asyncio.to_thread(self.ledger.open)
        try:
            await self._serve(stop)
        finally:
            await asyncio.to_thread(self.ledger.close)

    async def _serve(self, stop: asyncio.Event) -> None:
        if self._config.health.port:
            await self.health.start(self._config.health.port)
        self._dispatcher.restore(await self.ledger.recover())
        self.engine.start()
        stopping = asyncio.create_task(stop.wait(), name="stop")
        watches = [asyncio.create_task(watch) for watch in self._watches()]
        vital = [
            self._dispatcher.start(),
            asyncio.create_task(self._connection.run(), name="discord"),
            *watches,
            stopping,
        ]
        helpers = [
            asyncio.create_task(self._offer_sizes(), name="sizes"),
            asyncio.create_task(watch_lag(self.metrics.loop_lag_s.observe), name="lag"),
        ]
        stuck = ""
        try:
            done, _ = await asyncio.wait(vital, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        except EngineStuckError as error:
            stuck = str(error)
            raise
        finally:
            log.info("stopping")
            await _end(watches)
            await self._dispatcher.drain(self._config.jobs.shutdown_grace_s, stuck=stuck)
            await self._desk.close(_LAST_WORDS_S)
            await self._connection.close()
            await _end([*vital, *helpers])
            await self.health.close()
            # A start that is under way cannot be stopped; it ends with the process.
            waits = self.engine.ready.done() and not stuck
            timeout_s = _ENGINE_STOP_S if waits else 0
            await asyncio.to_thread(self.engine.close, cancel_running=True, timeout_s=timeout_s)
            log.info("stopped")

    def _watches(self) -> list[Coroutine[Any, Any, None]]:
        """What runs for as long as the bot does, and ends it where it fails."""
        watches = [
            keep_orders(self.ledger, self._dispatcher),
            keep_clean(self.ledger, self._album, self._config.storage.keep_days),
        ]
        stuck_after_s = self._config.engine.stuck_after_s
        if stuck_after_s:
            watches.append(watch_engine(self.engine, stuck_after_s))
        return watches

    def _is_stuck(self) -> bool:
        limit_s = self._config.engine.stuck_after_s
        return bool(limit_s) and self.engine.silent_s > limit_s

    async def _client(self) -> ImagineClient:
        return await self._connection.client()

    async def _offer_sizes(self) -> None:
        pipeline = await wait_for(self.engine.ready)
        await self._connection.offer(pipeline.sizes)


def _limits(config: Config) -> Limits:
    limits = config.limits
    return Limits(
        queued=config.jobs.max_queued,
        user_active=limits.user_active,
        user_per_minute=limits.user_per_minute,
        user_per_day=limits.user_per_day,
        guild_per_minute=limits.guild_per_minute,
        guild_per_day=limits.guild_per_day,
    )


async def _end(tasks: list["asyncio.Task[Any]"]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
