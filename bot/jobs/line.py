"""The line of waiting jobs: bounded, first come first served."""

import asyncio

from bot.errors import JobRefusedError
from bot.jobs.job import Job


class JobLine:
    """Jobs in the order in which they will be drawn; one task takes, any adds.

    max_jobs  how many may wait
    """

    def __init__(self, max_jobs: int) -> None:
        self._jobs: dict[str, Job] = {}  # a dict keeps its order and gives up any member at once
        self._max_jobs = max_jobs
        self._closed = False
        self._changed = asyncio.Event()

    def add(self, job: Job) -> None:
        """Let a job wait; raises JobRefusedError if the line is full or closed."""
        if self._closed:
            raise JobRefusedError("The bot is restarting. Ask again in a minute.")
        if len(self._jobs) >= self._max_jobs:
            raise JobRefusedError(
                f"{self._max_jobs} jobs are already waiting. Ask again in a few minutes."
            )
        self._jobs[job.id] = job
        self._changed.set()

    async def take(self) -> Job | None:
        """The next job, as soon as there is one; None once the line is closed."""
        while not self._closed:
            if self._jobs:
                return self._jobs.pop(next(iter(self._jobs)))
            self._changed.clear()
            await self._changed.wait()
        return None

    def remove(self, job_id: str) -> Job | None:
        """Take one job out of the line, wherever it stands; None if it does not wait here."""
        return self._jobs.pop(job_id, None)

    def waiting(self) -> tuple[Job, ...]:
        """All who wait, the next one first."""
        return tuple(self._jobs.values())

    def close(self) -> tuple[Job, ...]:
        """Take no more jobs and return those that still waited."""
        left = self.waiting()
        self._jobs.clear()
        self._closed = True
        self._changed.set()
        return left
