"""`imagine playground`: the loopback Discord and the real bot in one event loop."""

import asyncio
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from bot.app import Service
from bot.cli.playground_visit import imagine_once
from bot.config.reading import Config, HealthConfig, Secret
from bot.errors import PlaygroundError
from bot.homes.discord.sync import CommandRecord
from bot.shared.futures import wait_for
from sdxl_engine import Pipeline
from standins.discord.errors import PortTakenError
from standins.discord.loopback import LoopbackDiscord
from standins.discord.page_server import add_page


@dataclass(frozen=True, slots=True)
class Visit:
    """What to do in the playground.

    options  of one /imagine to be asked right away; None: nobody asks
    folder   gets its pictures
    stay     go on afterwards, until somebody stops it
    show_address  of the page, once it is there
    """

    options: Mapping[str, object] | None
    folder: Path
    stay: bool
    show_address: bool


async def run_playground(
    config: Config,
    visit: Visit,
    start_pipeline: Callable[[], Pipeline],
    stop: asyncio.Event,
) -> None:
    """Run the playground as the visit says, or until `stop` is set.

    Raises BotError, EngineError.
    """
    loopback = LoopbackDiscord()
    add_page(loopback)
    try:
        await loopback.start(port=config.playground.port)
    except PortTakenError as error:
        raise PlaygroundError(
            f"The port {config.playground.port} is taken or not allowed. Choose another with "
            "--port, or set IMAGINE_PLAYGROUND__PORT=0 for any free one."
        ) from error
    here = replace(
        config.discord,
        api_url=loopback.api_url,
        gateway_url=loopback.gateway_url,
        guild_ids=(),
    )
    # This Discord forgets everything when it ends, and so does the bot.
    with tempfile.TemporaryDirectory(prefix="imagine-") as folder:
        service = Service(
            replace(config, discord=here, health=HealthConfig(port=0)),
            Secret(loopback.token),
            start_pipeline,
            CommandRecord(None),
            Path(folder),
        )
        await _stay(loopback, service, visit, stop)


async def _stay(
    loopback: LoopbackDiscord, service: Service, visit: Visit, stop: asyncio.Event
) -> None:
    over = asyncio.Event()
    serving = asyncio.create_task(service.run(over), name="service")
    visiting = asyncio.create_task(_visit(loopback, service, visit, stop), name="visit")
    try:
        await asyncio.wait([serving, visiting], return_when=asyncio.FIRST_COMPLETED)
        if visiting.done():
            visiting.result()
    finally:
        over.set()
        visiting.cancel()
        await asyncio.gather(serving, visiting, return_exceptions=True)
        await loopback.close()
    serving.result()


async def _visit(
    loopback: LoopbackDiscord, service: Service, visit: Visit, stop: asyncio.Event
) -> None:
    if visit.show_address:
        _say(f"The playground is at {loopback.base_url}/")
    if visit.options is not None:
        _whisper(f"Seed {visit.options['seed']}")
        asking = asyncio.create_task(
            imagine_once(loopback, visit.options, visit.folder, on_card=_whisper)
        )
        stopping = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait([asking, stopping], return_when=asyncio.FIRST_COMPLETED)
            if not asking.done():
                raise PlaygroundError("It was stopped before the pictures were there. Ask again.")
            for path in asking.result():
                _say(str(path))
        finally:
            for task in (asking, stopping):
                task.cancel()
            await asyncio.gather(asking, stopping, return_exceptions=True)
    if visit.stay:
        warm = asyncio.create_task(wait_for(service.engine.ready))
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait([warm, stopping], return_when=asyncio.FIRST_COMPLETED)
        warm.cancel()
        if not stop.is_set():
            # Said last, where a person looks.
            _say(f"Open {loopback.base_url}/ in a browser and type /imagine. Ctrl-C ends it.")
        await stopping


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def _whisper(text: str) -> None:
    sys.stderr.write(text + "\n")
