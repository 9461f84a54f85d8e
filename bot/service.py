"""The running bot: an engine thread, a dispatcher and a Discord connection, opened and closed."""

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from bot.config import Config, Secret
from bot.discord_app.client import ImagineClient
from bot.discord_app.commands import ImagineCommand
from bot.discord_app.connection import DiscordConnection
from bot.discord_app.desk import CardDesk, Pace, edit_pace
from bot.discord_app.endpoints import point_client_at
from bot.discord_app.sync import CommandRecord
from bot.jobs import Dispatcher, JobLine, wait_for
from bot.lag import watch_lag
from sdxl_engine import EngineThread, Pipeline

log = logging.getLogger(__name__)

_LAST_WORDS_S: Final = 10.0  # for the last edits of the cards
_ENGINE_STOP_S: Final = 5.0  # for the step that the device is in


class Service:
    """The whole bot in one event loop, as `imagine serve` and the playground run it.

    config          where Discord is, what is offered, how many may wait
    token           the bot's
    start_pipeline  makes the warm pipeline, on the engine thread
    record          what Discord was told last
    pace            holds the edits of one card apart
    """

    def __init__(
        self,
        config: Config,
        token: Secret,
        start_pipeline: Callable[[], Pipeline],
        record: CommandRecord,
        *,
        pace: Pace = edit_pace,
    ) -> None:
        point_client_at(config.discord.api_url, config.discord.gateway_url)
        self._config = config
        self.engine = EngineThread(start_pipeline)
        self._desk = CardDesk(config.engine.model_name, pace)
        self._dispatcher = Dispatcher(self.engine, self._desk, JobLine(config.jobs.max_queued))
        command = ImagineCommand(config.engine, self._desk, self._dispatcher)
        self._connection = DiscordConnection(
            lambda: ImagineClient(
                command,
                self._desk,
                record,
                guild_ids=config.discord.guild_ids,
                model=config.engine.model,
                sizes=config.engine.sizes,
            ),
            token,
        )

    async def run(self, stop: asyncio.Event) -> None:
        """Serve until `stop` is set, then finish or hand back what runs.

        A device call that hangs may outlive this, on the engine's daemon thread.
        Raises EngineStartError, LoginError.
        """
        self.engine.start()
        dispatching = self._dispatcher.start()
        connected = asyncio.create_task(self._connection.run(), name="discord")
        stopping = asyncio.create_task(stop.wait(), name="stop")
        helpers = [
            asyncio.create_task(self._offer_sizes(), name="sizes"),
            asyncio.create_task(watch_lag(), name="lag"),
            stopping,
        ]
        try:
            done, _ = await asyncio.wait(
                [dispatching, connected, stopping], return_when=asyncio.FIRST_COMPLETED
            )
            for task in done:
                task.result()
        finally:
            log.info("stopping")
            await self._dispatcher.drain(self._config.jobs.shutdown_grace_s)
            await self._desk.close(_LAST_WORDS_S)
            await self._connection.close()
            await _end([connected, *helpers])
            # A start that is under way cannot be stopped; it ends with the process.
            timeout_s = _ENGINE_STOP_S if self.engine.ready.done() else 0
            await asyncio.to_thread(self.engine.close, cancel_running=True, timeout_s=timeout_s)
            log.info("stopped")

    async def _offer_sizes(self) -> None:
        pipeline = await wait_for(self.engine.ready)
        await self._connection.offer(pipeline.sizes)


async def _end(tasks: list["asyncio.Task[object]"]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
