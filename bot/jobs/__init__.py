"""Jobs: what somebody asked for, the line they wait in, and the one who feeds the engine."""

from bot.jobs.dispatcher import Desk, Dispatcher, wait_for
from bot.jobs.job import (
    Drawing,
    Failed,
    HandedBack,
    Job,
    Stage,
    State,
    Uploading,
    Waiting,
    new_job_id,
)
from bot.jobs.line import JobLine

__all__ = [
    "Desk",
    "Dispatcher",
    "Drawing",
    "Failed",
    "HandedBack",
    "Job",
    "JobLine",
    "Stage",
    "State",
    "Uploading",
    "Waiting",
    "new_job_id",
    "wait_for",
]
