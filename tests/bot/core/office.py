"""A running studio and its parts, with a real engine thread, a real ledger and a real gallery."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

from bot.core.clerk import Clerk
from bot.core.events import Event, Events
from bot.core.gate import Gate
from bot.core.job import Job, State
from bot.core.moderators import Moderators
from bot.core.policy import Limits
from bot.core.privacy import Privacy
from bot.core.queue.waiting import JobQueue
from bot.core.removal import Removal
from bot.core.rules import Rules
from bot.core.studio import Studio
from bot.core.verdict import Thresholds
from bot.core.wish import Usual
from bot.core.worker import Worker
from bot.engines.local import LocalEngine
from bot.errors import EngineStuckError
from bot.gallery.folder import Folder
from bot.gallery.gallery import ObjectGallery
from bot.ledgers.database import Database
from bot.ledgers.ledger import DatabaseLedger
from bot.ledgers.registry import DatabaseRegistry
from bot.shared.retry import Sleep
from sdxl_engine import Pipeline
from tests.bot.core.fake_pool import FakePool
from tests.bot.core.jobs import heard_of
from tests.bot.ledgers.databases import records_in
from tests.fakes import FakeFilter, FakeHome, card_of

# Of what a fake pipeline's picture check scores.
THRESHOLDS = Thresholds(review={"skin": 0.5, "gore": 0.5}, block={"skin": 0.8, "gore": 0.8})
MakeLedger = Callable[[Database], DatabaseLedger]


class Office:
    """A running studio and its parts."""

    def __init__(
        self,
        folder: Path,
        start: Callable[[], Pipeline],
        home: FakeHome,
        make_ledger: MakeLedger = DatabaseLedger,
        sleep: Sleep = asyncio.sleep,
        *,
        pool: FakePool | None = None,
        logs_prompts: bool = False,
    ) -> None:
        self.home = home
        self.engine = LocalEngine(start) if pool is None else pool
        self.database = records_in(folder).database()
        self.ledger = make_ledger(self.database)
        self.queue = JobQueue(None if pool is None else pool.turns())
        self.gallery = ObjectGallery(Folder(folder / "images"), card_of)
        self.heard: list[Event] = []
        events, usual = Events(self.heard.append), Usual(num_inference_steps=2)
        self.registry = DatabaseRegistry(self.database)
        self.filter = FakeFilter()
        gate = Gate(self.registry, self.filter, THRESHOLDS, adult={"skin"}, usual=Rules(use=True))
        self.clerk = Clerk(self.registry, self.gallery, {home.name: home}, sleep=sleep)
        self.worker = Worker(
            self.engine,
            self.ledger,
            self.queue,
            self.gallery,
            {home.name: home},
            events,
            gate=gate,
            clerk=self.clerk,
            usual=usual,
            sleep=sleep,
        )
        removal = Removal(self.ledger, self.registry, self.gallery, self.worker, self.clerk)
        self.studio = Studio(
            self.engine,
            self.ledger,
            self.queue,
            self.gallery,
            self.worker,
            events,
            gate=gate,
            registry=self.registry,
            clerk=self.clerk,
            removal=removal,
            usual=usual,
            limits=Limits(queued=8),
            logs_prompts=logs_prompts,
        )
        self.moderators = Moderators(
            gate,
            self.registry,
            self.ledger,
            removal,
            self.worker,
            self.clerk,
            self.filter,
            keep_days=30,
        )
        self.privacy = Privacy(
            self.ledger, self.registry, self.gallery, self.worker, self.clerk, keep_days=30
        )
        home.attend(self.studio, self.moderators, self.privacy)

    async def ask(self, job: Job) -> None:
        await self.studio.ask(heard_of(job), job.wish, parent=job.parent, showing=job.showing)

    async def until_state(self, job_id: str, state: State) -> None:
        """Wait until the ledger holds it so: it is written after the home has shown it."""
        while (await self.ledger.get(job_id)).state is not state:
            pass  # reading takes a thread's turn

    async def until_told(self, job_id: str) -> None:
        """Wait until the ledger holds that its person could read its end."""
        while not (await self.ledger.get(job_id)).told:
            pass

    def ended(self, job: Job) -> bool:
        return job.id in self.home.delivered or job.id in self.home.told

    async def silent(self) -> None:
        """Wait until the engine has been silent for too long."""
        while self.engine.silent_s <= HUNG.limit_s:  # noqa: ASYNC110 - time itself is waited for
            await asyncio.sleep(0.01)

    async def heard_of(self, kind: type[Event], times: int) -> None:
        """Wait until so many of these events were told."""
        await self.home.until(lambda: sum(isinstance(one, kind) for one in self.heard) == times)

    async def state(self, job: Job) -> State:
        return (await self.ledger.get(job.id)).state


HUNG = EngineStuckError("The device does not answer.", 0.2)
OpenOffice = Callable[..., AbstractAsyncContextManager[Office]]
