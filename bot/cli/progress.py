"""Progress for the person at the terminal: a bar on one, now and then a line elsewhere."""

import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self, TextIO

if TYPE_CHECKING:
    from tqdm import tqdm

_LINE_EVERY_S: Final = 2.0  # what is over sooner needs no line


class ProgressBar:
    """A bar on a terminal; where there is none, a line every two seconds.

    what    what progresses
    unit    "B" is shown as MB and GB
    stream  standard error if None, so that standard output stays clean
    clock   seconds
    """

    def __init__(
        self,
        what: str,
        unit: str,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._what = what
        self._unit = unit
        self._stream = stream or sys.stderr
        self._clock = clock
        self._bar: tqdm | None = None
        self._next_line_s = clock() + _LINE_EVERY_S

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.close()

    def show(self, done: int, total: int) -> None:
        """So much is done of so much."""
        if not self._stream.isatty():
            self._line(done, total)
            return
        if self._bar is None:
            from tqdm import tqdm  # noqa: PLC0415 - for a terminal alone

            is_bytes = self._unit == "B"
            self._bar = tqdm(
                total=total,
                desc=self._what,
                unit=self._unit,
                unit_scale=is_bytes,
                file=self._stream,
            )
        self._bar.update(done - self._bar.n)

    def _line(self, done: int, total: int) -> None:
        now_s = self._clock()
        if now_s >= self._next_line_s:
            self._next_line_s = now_s + _LINE_EVERY_S
            self._stream.write(f"{self._what}: {100 * done // max(total, 1)} %\n")
            self._stream.flush()
