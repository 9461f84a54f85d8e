"""What is done once on a machine, whatever starts there: to fetch a model, to compile."""

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from bot.shared.private import FILE_MODE, make_folder
from sdxl_engine.thread import sign_of_start

LOCK: Final = "engines.lock"  # in the storage folder
_LOOKS_EVERY_S: Final = 0.5


@contextmanager
def first_alone(
    folder: Path, made_of: str, sleep: Callable[[float], None] = time.sleep
) -> Iterator[None]:
    """Let the first engine of this machine start alone, and all others side by side after it.

    folder   the same for all of them
    made_of  what is started: of each other thing there is a first one, too

    For the thread that starts the engine: that it waits is a sign of life.
    """
    goes_on = sign_of_start()

    def take(how: int) -> None:
        while not _took(lock.fileno(), how):
            goes_on()
            sleep(_LOOKS_EVERY_S)

    def is_there() -> bool:
        """Whether a first one has fetched and compiled all of it."""
        lock.seek(0)
        return lock.read() == made_of

    make_folder(folder)
    with os.fdopen(os.open(folder / LOCK, os.O_CREAT | os.O_RDWR, FILE_MODE), "r+") as lock:
        take(fcntl.LOCK_SH)
        if not is_there():
            fcntl.flock(lock, fcntl.LOCK_UN)  # two that both keep it would wait for each other
            take(fcntl.LOCK_EX)
            if not is_there():
                lock.seek(0)
                lock.truncate()
                lock.flush()
                yield
                lock.write(made_of)
                return
            take(fcntl.LOCK_SH)
        yield


def _took(lock: int, how: int) -> bool:
    with suppress(BlockingIOError):
        fcntl.flock(lock, how | fcntl.LOCK_NB)
        return True
    return False
