"""Files that one process holds at a time, of all that share a folder."""

import asyncio
import fcntl
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from bot.shared.private import FILE_MODE, make_folder


@asynccontextmanager
async def held(lock: Path) -> AsyncIterator[None]:
    """Be the only one, of all processes that share its folder, who holds a file meanwhile.

    Waits for others. Where the file cannot be made or held, nobody is kept from anything.
    """
    file = await asyncio.to_thread(_taken, lock)
    try:
        yield
    finally:
        if file is not None:
            os.close(file)


def _taken(lock: Path) -> int | None:
    with suppress(OSError):
        make_folder(lock.parent)
        file = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
        except OSError:
            os.close(file)
            raise
        return file
    return None
