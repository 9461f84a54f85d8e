"""Jobs: what somebody asked for, the ledger that keeps it, the fair line, the dispatcher."""

from bot.jobs.album import Album, Picture
from bot.jobs.dispatcher import Desk, Dispatcher, LendPictures
from bot.jobs.job import Job, Record, State, StoredImage, new_job_id
from bot.jobs.ledger import Ledger, Limits
from bot.jobs.line import Line, Position
from bot.jobs.stage import Drawing, Paused, Stage, Uploading, Waiting
from bot.jobs.wait import wait_for

__all__ = [
    "Album",
    "Desk",
    "Dispatcher",
    "Drawing",
    "Job",
    "Ledger",
    "LendPictures",
    "Limits",
    "Line",
    "Paused",
    "Picture",
    "Position",
    "Record",
    "Stage",
    "State",
    "StoredImage",
    "Uploading",
    "Waiting",
    "new_job_id",
    "wait_for",
]
