"""A home of its own, and all that one takes: a village whose people read a notice board.

Run as a program it asks for pictures, waits for them and prints what the board says, with no chat
system installed: `python -m tests.bot.village FOLDER`.
"""

import asyncio
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from bot.app import App
from bot.config.sections import Config, EngineConfig, HealthConfig
from bot.core import card
from bot.core.case import AtDesk, Notice
from bot.core.heard import Heard
from bot.core.job import Job, Origin, Person, Record, Venue, new_job_id
from bot.core.moderators import Moderators
from bot.core.ports.bots import Bots
from bot.core.ports.gallery import Picture
from bot.core.ports.home import LendPictures
from bot.core.ports.ledger import Ledger
from bot.core.privacy import Privacy
from bot.core.queue.waiting import JobQueue
from bot.core.stage import Stage
from bot.core.studio import Studio
from bot.core.wish import Wish
from tests.fakes import FakePipeline

SIZES = ((64, 64),)


class Village:
    """Implements `Home`: a notice a job, rewritten at once and never lost."""

    name = "village"
    is_online = True
    stands_by = False
    shards = ()

    def __init__(self, queue: JobQueue, _ledger: Ledger, _bots: Bots) -> None:
        self.board: dict[str, list[card.Card]] = {}
        self.over = asyncio.Event()
        self._queue = queue

    def attend(self, studio: Studio, moderators: Moderators, privacy: Privacy) -> None:
        self._studio = studio

    async def run(self) -> None:
        ann, green = Person(self.name, "ann", "Ann"), Venue(self.name, "village", "green")
        origin = Origin(green, event="e1", message=None, token="", attachment_limit_bytes=2**20)
        wish = Wish("a red circle", seed=7, num_inference_steps=2)
        await self._studio.ask(Heard(new_job_id(), ann, origin, time.time()), wish)
        await self.over.wait()

    async def offer(self, sizes: tuple[tuple[int, int], ...]) -> None:
        return

    def show(self, job: Job, stage: Stage, *, at_once: bool = False) -> None:
        position = self._queue.position(job.id)
        self._pin(job, card.progress_card(job, stage, position, time.time()))

    def places_changed(self) -> None:
        return

    async def deliver(self, job: Job, lend: LendPictures) -> None:
        async with lend() as pictures:
            self._pin(job, card.finished_card(job, pictures))
        self.over.set()

    async def tell(self, job: Job, sentence: str, *, takes_back: bool) -> None:
        self._pin(job, card.failed_card(job, sentence))
        self.over.set()

    async def apologize(self, origin: Origin, sentence: str, locale: str) -> None:
        return

    async def mention(self, job: Job) -> None:
        return

    async def amend(self, record: Record) -> None:
        self._pin(record.job, card.standing_card(record))

    async def show_case(self, one: AtDesk, pictures: Sequence[Picture]) -> str:
        return one.case.id

    async def notify(self, notice: Notice) -> None:
        return

    async def forget(self, job: Job) -> None:
        del self.board[job.id]

    async def close(self, timeout_s: float) -> None:
        self.over.set()

    def _pin(self, job: Job, notice: card.Card) -> None:
        self.board.setdefault(job.id, []).append(notice)


async def main(folder: Path) -> None:
    """From a wish to pictures."""
    config = Config(engine=EngineConfig(sizes=SIZES), health=HealthConfig(port=0))
    app = App(config, lambda: FakePipeline(SIZES), [Village], folder)
    await app.run(asyncio.Event())  # until its home ends
    village = app.homes["village"]
    assert isinstance(village, Village)
    for notice in next(iter(village.board.values())):
        files = " ".join(slot.filename for slot in notice.pictures or ())
        sys.stdout.write(f"{''.join(map(str, notice.status))} | {files}\n")


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
