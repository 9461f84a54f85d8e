"""What all parts share: how large everything is, the time that is left, and telling."""

import json
import statistics
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

ROOT: Final = Path(__file__).resolve().parents[2]

# States of a part.
PENDING: Final = "not begun"
RUNNING: Final = "begun"
DONE: Final = "done"
LATE: Final = "out of time"
FAILED: Final = "failed"

DEVIATION: Final = 0.02  # of random kernels: what goes through them stays around one
_TRACEBACK_LINES: Final = 12


@dataclass(frozen=True, slots=True)
class Setting:
    """How large everything is.

    model         a folder in diffusers format, whose weights are not read
    size_px       width and height of an image
    images        of a request
    steps         guided ones, of a request
    rounds        of which the median counts, at most
    doodles       how many of the embedded model's pictures are drawn, at most
    shrink        by what channels and sides of the pieces are divided
    step_tflop    of one pass of one image through the UNet; None where nobody counted
    decode_tflop  of one image
    """

    model: Path
    size_px: tuple[int, int]
    images: int
    steps: int
    rounds: int
    doodles: int
    shrink: int
    step_tflop: float | None = None
    decode_tflop: float | None = None


FULL: Final = Setting(
    model=ROOT / "sdxl_engine" / "sdxl_base",
    size_px=(1024, 1024),
    images=4,
    steps=20,
    rounds=3,
    doodles=100,
    shrink=1,
    step_tflop=6.76,
    decode_tflop=10.47,
)
TINY: Final = Setting(
    model=ROOT / "tests" / "goldens" / "tiny_a",
    size_px=(64, 64),
    images=2,
    steps=2,
    rounds=2,
    doodles=1,
    shrink=16,
)


class Part:
    """What a part is given: its setting, its time, and somebody to tell what it finds.

    ends_s   of `time.monotonic`
    channel  takes a JSON object a line
    """

    def __init__(self, setting: Setting, ends_s: float, channel: IO[str]) -> None:
        self.setting = setting
        self._ends_s = ends_s
        self._channel = channel

    @property
    def left_s(self) -> float:
        """Seconds until it is ended."""
        return self._ends_s - time.monotonic()

    def tell(self, **findings: Any) -> None:
        """Have findings written down at once; raises ValueError for what is no number."""
        self._channel.write(json.dumps(findings, allow_nan=False) + "\n")
        self._channel.flush()

    def attempt(self, name: str, find: Callable[[], Any]) -> Any:
        """Find something out and tell it; or, where that fails, what failed, and return None."""
        try:
            found = find()
            self.tell(**{name: found})
        except Exception as error:  # noqa: BLE001 - the next finding is worth its own attempt
            self.tell(**{name: failure(error)})
            return None
        return found


def failure(error: BaseException) -> dict[str, str]:
    """An error as a finding: what it says, and where it came from."""
    lines = str(error).strip().splitlines()
    trace = "".join(traceback.format_exception(error)).splitlines()
    said = f"{type(error).__name__}: {lines[0] if lines else ''}"
    return {"failed": said[:300], "traceback": "\n".join(trace[-_TRACEBACK_LINES:])[:3_000]}


def timed_ms(
    call: Callable[[], Any], wait: Callable[[Any], Any], *, rounds: int, calls: int
) -> float:
    """Median milliseconds of one of `calls` calls in a row, after one that nobody times.

    wait  returns when what a call returned is there
    """
    wait(call())
    times_ms = []
    for _ in range(rounds):
        begin_s = time.perf_counter()
        for _ in range(calls):
            result = call()
        wait(result)
        times_ms.append((time.perf_counter() - begin_s) * 1e3 / calls)
    return round(statistics.median(times_ms), 4)
