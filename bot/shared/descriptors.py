"""How many files and connections this process may still open."""

import os
import resource
from contextlib import suppress
from pathlib import Path
from typing import Final

_OPEN: Final = Path("/proc/self/fd")  # Linux; elsewhere /dev/fd says the same
_OPEN_ELSEWHERE: Final = Path("/dev/fd")
_STANDARD_ERROR: Final = 2


def raise_limit() -> None:
    """Raise the soft limit as far as the hard one allows; where it may not, it stays."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with suppress(ValueError, OSError):  # macOS takes no "unlimited" here
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def free() -> int:
    """How many more may be opened now."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(0, soft - len(_open_ones()))


def close_all() -> None:
    """Close everything but the standard streams, by number: what is open, not what might be.

    A limit that was raised may allow a thousand million.
    """
    for number in _open_ones():
        if number > _STANDARD_ERROR:
            with suppress(OSError):  # the folder that was read is closed by now
                os.close(number)


def _open_ones() -> list[int]:
    folder = _OPEN if _OPEN.exists() else _OPEN_ELSEWHERE
    return [int(path.name) for path in folder.iterdir()]
