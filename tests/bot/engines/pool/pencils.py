"""Pipelines for engines in processes of their own, which do what a request says."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

from sdxl_engine import ImageRequest, Progress
from sdxl_engine.request import NO_PICTURES, Pictures
from tests.fakes import FakePipeline

_LOOKS_EVERY_S = 0.005  # at files: another process makes them, and there is nobody to be woken by


class Pencil(FakePipeline):
    """Draws at once, but for requests that begin with one of these words.

    waits    before its second step, until a file "go" is there
    hangs    at its second step, for ever
    kills    its own process at its second step

    In the file "drawn" is a line for each request, with the process that began it.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(((64, 64), (1024, 1024)), loras={"ink": None, "torn": "It is torn."})
        self._folder = folder

    def generate(
        self, request: ImageRequest, *, pictures: Pictures = NO_PICTURES, previews: bool = False
    ) -> Iterator[Progress]:
        with (self._folder / "drawn").open("a") as drawn:
            drawn.write(f"{os.getpid()} {request.prompt}\n")
        for progress in super().generate(request, pictures=pictures, previews=previews):
            if progress.step == 2:
                self._before_second(request.prompt)
            yield progress

    def _before_second(self, prompt: str) -> None:
        if prompt.startswith("kills"):
            os.kill(os.getpid(), signal.SIGKILL)
        while prompt.startswith("hangs"):
            time.sleep(_LOOKS_EVERY_S)
        while prompt.startswith("waits") and not (self._folder / "go").exists():
            time.sleep(_LOOKS_EVERY_S)


def start(folder: Path) -> Pencil:
    """For an engine's thread."""
    return Pencil(folder)
