"""A loopback Discord, the whole bot in front of it with a fake pipeline, a store for pictures."""

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import discord
import pytest

from bot.app import App, discord_home
from bot.config.sections import (
    Config,
    DiscordConfig,
    EngineConfig,
    HealthConfig,
    JobsConfig,
    LimitsConfig,
)
from bot.core.ports.bots import Bots
from bot.homes.cards.pace import MakeThrottle
from bot.languages.languages import Languages
from bot.ledgers.records import Records
from bot.shared.retry import Sleep
from bot.shared.secret import Secret
from sdxl_engine import Pipeline
from standins.base.timers import ManualClock
from standins.discord.loopback import LoopbackDiscord
from tests.bot.ledgers.databases import records_in, until_the_end
from tests.fakes import FakePipeline
from tests.standins.discord.openapi import Contract

SIZES = ((64, 64), (128, 64))
NO_LIMITS = LimitsConfig(0, 0, 0, 0, 0)
GOLDENS = Path(__file__).parents[1] / "goldens"
_buckets = itertools.count(1)


def pytest_sessionfinish() -> None:
    """Not when the process ends: pytest-xdist does not wait for that."""
    until_the_end.close()


def asks_for(folder: Path, scheduler: str) -> None:
    """Make a model's folder ask for another of diffusers' schedulers, as that is by itself."""
    index = folder / "model_index.json"
    index.write_text(index.read_text().replace("EulerDiscrete", scheduler))
    (folder / "scheduler/scheduler_config.json").write_text("{}")


@pytest.fixture(autouse=True)
def no_waits_of_discord_py(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a 5xx discord.py sleeps a second, then three, then five; here it yields to others."""

    async def sleep(_: float) -> None:
        await asyncio.sleep(0)

    hasty = SimpleNamespace(**{**vars(asyncio), "sleep": sleep})
    for module in (discord.http, discord.webhook.async_):
        monkeypatch.setattr(module, "asyncio", hasty)


@pytest.fixture
def clock() -> ManualClock:
    """The loopback's clock; it stands still until a test moves it."""
    return ManualClock()


@pytest.fixture
def file_limit_bytes() -> int:
    """What one file may have; a test parametrizes it."""
    return 10 * 2**20


@pytest.fixture
def description() -> Contract | None:
    """What all that is sent and answered is held against; None: nothing."""
    return None


@pytest.fixture
async def loopback(
    clock: ManualClock, file_limit_bytes: int, description: Contract | None
) -> AsyncIterator[LoopbackDiscord]:
    # So that a bot is not sent away for lack of heartbeats when a test moves the clock.
    server = LoopbackDiscord(
        clock=clock,
        rate_limits=False,
        attachment_size_limit_bytes=file_limit_bytes,
        heartbeat_interval_s=10_000,
    )
    if description is not None:
        description.watch(server)
    await server.start()
    yield server
    await server.close()


class Bot:
    """A running bot.

    task   what `App.run` returns or raises
    stop   ends it
    """

    def __init__(self, app: App) -> None:
        self.app = app
        self.stop = asyncio.Event()
        self.task = asyncio.create_task(app.run(self.stop))


class OpenThrottle:
    """Lets every edit through."""

    async def acquire(self) -> None:
        return


class ShutThrottle:
    """Lets none through: a card shows its first words and its last."""

    async def acquire(self) -> None:
        await asyncio.Event().wait()


RunBot = Callable[..., AbstractAsyncContextManager[Bot]]


@pytest.fixture
def run_bot(loopback: LoopbackDiscord, tmp_path: Path) -> RunBot:
    """Start the bot against the loopback, and stop it at the end of the block."""

    @asynccontextmanager
    async def start(
        start_pipeline: Callable[[], Pipeline] = lambda: FakePipeline(SIZES),
        *,
        config: Config | None = None,
        online: bool = True,
        token: str | None = None,
        throttle: MakeThrottle = OpenThrottle,
        call_limit_s: float | None = None,
        languages: Languages | None = None,
        sleep: Sleep = asyncio.sleep,
        clock: Callable[[], float] = time.monotonic,
        bots: Bots | None = None,
        folder: str = "data",
        records: Records | None = None,
    ) -> AsyncIterator[Bot]:
        config = config or make_config()
        config = replace(
            config,
            discord=replace(
                config.discord, api_url=loopback.api_url, gateway_url=loopback.gateway_url
            ),
        )
        bot = Bot(
            App(
                config,
                start_pipeline,
                [
                    discord_home(
                        config,
                        Secret(token or loopback.token),
                        tmp_path,
                        languages=languages,
                        throttle=throttle,
                        call_limit_s=call_limit_s,
                        sleep=sleep,
                    )
                ],
                tmp_path / folder,
                records=records or records_in(tmp_path / folder),
                clock=clock,
                bots=bots,
            )
        )
        try:
            if online:
                await asyncio.gather(loopback.wait_ready(), loopback.wait_commands())
            yield bot
        finally:
            bot.stop.set()
            await asyncio.gather(bot.task, return_exceptions=True)

    return start


def make_config(
    *,
    max_queued: int = 8,
    grace_s: float = 30.0,
    limits: LimitsConfig = NO_LIMITS,
    stuck_after_s: float = 0,
) -> Config:
    return Config(
        health=HealthConfig(port=0),
        limits=limits,
        engine=EngineConfig(sizes=SIZES, default_steps=4, stuck_after_s=stuck_after_s),
        discord=DiscordConfig(),
        jobs=JobsConfig(max_queued=max_queued, shutdown_grace_s=grace_s),
    )


@pytest.fixture(scope="session")
def store() -> Iterator[int]:
    """The port of a store that speaks S3, for all who ask."""
    from tests.bot.gallery.store import running_store  # noqa: PLC0415 - not every machine has it

    with running_store() as port:
        yield port


@pytest.fixture
def address(store: int, monkeypatch: pytest.MonkeyPatch) -> str:
    """A bucket of that store with nothing in it, to which the environment leads."""
    import boto3  # noqa: PLC0415 - not every machine has it

    from tests.bot.gallery.store import ACCESS, HOST, PASSWORD, SECRET  # noqa: PLC0415 - as above

    for name in ("AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"http://somebody:{PASSWORD}@{HOST}:{store}")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")  # nothing but this machine is asked
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, "/dev/null")
    bucket = f"pictures-{next(_buckets)}"
    boto3.client("s3").create_bucket(Bucket=bucket)
    return f"s3://{bucket}/of/a bot"
