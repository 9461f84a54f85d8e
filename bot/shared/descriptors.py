"""How many files and connections this process may still open."""

import resource
from contextlib import suppress
from pathlib import Path
from typing import Final

_OPEN: Final = Path("/proc/self/fd")  # Linux; elsewhere /dev/fd says the same
_OPEN_ELSEWHERE: Final = Path("/dev/fd")


def raise_limit() -> None:
    """Raise the soft limit as far as the hard one allows; where it may not, it stays."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with suppress(ValueError, OSError):  # macOS takes no "unlimited" here
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def free() -> int:
    """How many more may be opened now."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    folder = _OPEN if _OPEN.exists() else _OPEN_ELSEWHERE
    return max(0, soft - len(list(folder.iterdir())))
