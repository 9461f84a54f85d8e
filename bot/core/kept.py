"""What is kept of one person, as the records have it."""

from collections.abc import Mapping
from dataclasses import dataclass

from bot.core.job import StoredImage


@dataclass(frozen=True, slots=True)
class Kept:
    """How much is kept of a person.

    jobs      whose prompt is there, drawn or not
    emptied   jobs of which ids and times are left
    pictures  that can be shown
    defaults  1 where something is usual for them
    reports   that they made
    cases     of moderators, about them
    blocks    communities in which they are barred
    since_s   when the first of it came, and latest_s the last, in seconds since 1970; None: nothing
    """

    jobs: int = 0
    emptied: int = 0
    pictures: int = 0
    favourites: int = 0
    defaults: int = 0
    reports: int = 0
    cases: int = 0
    blocks: int = 0
    since_s: float | None = None
    latest_s: float | None = None


@dataclass(frozen=True, slots=True)
class File:
    """A picture of somebody's: one that was drawn for a job, or one that it starts from.

    stored  None: it was brought, and is known by its `digest`
    """

    job_id: str
    stored: StoredImage | None = None
    digest: str = ""


@dataclass(frozen=True, slots=True)
class Stored:
    """All that is kept of a person.

    data   as JSON can hold it
    files  their pictures, those of the latest job first
    """

    data: Mapping[str, object]
    files: tuple[File, ...]
