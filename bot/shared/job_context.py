"""Which job the running code works for."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_job_id: ContextVar[str] = ContextVar("job_id", default="")


@contextmanager
def in_job(job_id: str) -> Iterator[None]:
    """Give everything inside, and tasks started inside, the job's id: the log shows it."""
    token = _job_id.set(job_id)
    try:
        yield
    finally:
        _job_id.reset(token)


def current_job() -> str:
    """The id of the job that this code works for, or ""."""
    return _job_id.get()
