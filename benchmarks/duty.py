"""Has the engine always a job in hand, and how quick is the bot, while twenty requests wait?

    .venv/bin/python benchmarks/duty.py [--jobs 20] [--steps 20]

The real bot, an unmodified discord.py and the embedded model, over the loopback Discord. In hand is
a job from its first program until its images are fetched; what is counted is the time between jobs,
not the moments within one.
"""

import argparse
import asyncio
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from bot.app import App, discord_home
from bot.config.sections import Config, HealthConfig, LimitsConfig
from bot.core.card import FAILURE_MARK, is_preview
from bot.shared.secret import Secret
from sdxl_engine import ImageRequest, Images, Progress, SdxlPipeline
from sdxl_engine.request import NO_PICTURES, Pictures
from standins.discord.components import files_of, text_of
from standins.discord.loopback import LoopbackDiscord

LAG_NAP_S = 0.01


class WatchedPipeline:
    """A pipeline that remembers when it was at work.

    spans_s  (begin, end) of each job
    """

    def __init__(self, pipeline: SdxlPipeline) -> None:
        self._pipeline = pipeline
        self.sizes = pipeline.sizes
        self.models = pipeline.models
        self.checks = pipeline.checks
        self.device = pipeline.device
        self.loras = pipeline.loras
        self.check = pipeline.check
        self.resolved = pipeline.resolved
        self.card = pipeline.card
        self.spans_s: list[tuple[float, float]] = []

    def generate(
        self,
        request: ImageRequest,
        *,
        pictures: Pictures = NO_PICTURES,
        previews: bool = False,
    ) -> Iterator[Progress]:
        """Draw as the pipeline does; fetching ends a span."""
        begin_s = time.perf_counter()
        for progress in self._pipeline.generate(request, pictures=pictures, previews=previews):
            if progress.fetch is None:
                yield progress
            else:
                yield replace(progress, fetch=partial(self._fetch, begin_s, progress))

    def _fetch(self, begin_s: float, progress: Progress) -> Images:
        assert progress.fetch is not None  # noqa: S101 - it was looked at above
        images = progress.fetch()
        self.spans_s.append((begin_s, time.perf_counter()))
        return images

    @property
    def duty(self) -> float:
        """The share of the time, from the first begin to the last end, with a job in hand."""
        busy_s, until_s = 0.0, 0.0
        for begin_s, end_s in sorted(self.spans_s):
            busy_s += max(0.0, end_s - max(begin_s, until_s))
            until_s = max(until_s, end_s)
        return busy_s / (until_s - min(self.spans_s)[0])


async def measure(jobs: int, steps: int, folder: Path) -> None:
    """Ask, wait, print."""
    loopback = LoopbackDiscord(rate_limits=True)
    await loopback.start()
    config = Config()
    config = replace(
        config,
        discord=replace(config.discord, api_url=loopback.api_url, gateway_url=loopback.gateway_url),
        jobs=replace(config.jobs, max_queued=jobs),
        limits=LimitsConfig(0, 0, 0, 0, 0),
        health=HealthConfig(port=0),
    )
    watched: list[WatchedPipeline] = []

    def start_pipeline() -> WatchedPipeline:
        pipeline = SdxlPipeline.load("doodle")
        pipeline.warm_up(num_images=config.engine.images_per_request)
        watched.append(WatchedPipeline(pipeline))
        return watched[0]

    token = Secret(loopback.token)
    app = App(config, start_pipeline, [discord_home(config, token, None)], folder)
    stop = asyncio.Event()
    serving = asyncio.create_task(app.run(stop))
    await app.engine.warm()
    await loopback.wait_ready()
    await loopback.wait_commands()

    lags_s: list[float] = []
    sampling = asyncio.create_task(_sample_lag(lags_s))
    acks_s, asked = [], []
    for number in range(jobs):
        begin_s = time.perf_counter()
        interaction = await loopback.slash(
            "imagine", {"prompt": "a red circle", "seed": number, "steps": steps}
        )
        await interaction.until(lambda _: True)  # the message that says "thinking"
        acks_s.append(time.perf_counter() - begin_s)
        asked.append(interaction)
    for interaction in asked:
        await interaction.until(_is_finished)
    sampling.cancel()
    await asyncio.wait([sampling])
    stop.set()
    await serving
    await loopback.close()

    spans_s = watched[0].spans_s
    seconds = max(end_s for _, end_s in spans_s) - min(spans_s)[0]
    print(f"{jobs} jobs of 4 images, {steps} steps: {seconds:.1f} s, {seconds / jobs:.2f} s each")
    print(f"a job in hand {watched[0].duty:.2%} of the time")
    for name, values_s in (("acknowledged", acks_s), ("loop lag", lags_s)):
        p50, p99 = np.percentile(values_s, (50, 99)) * 1e3
        print(f"{name:<13} p50 {p50:.1f} ms, p99 {p99:.1f} ms, of {len(values_s)}")


async def _sample_lag(lags_s: list[float]) -> None:
    while True:
        before_s = time.perf_counter()
        await asyncio.sleep(LAG_NAP_S)
        lags_s.append(time.perf_counter() - before_s - LAG_NAP_S)


def _is_finished(message: dict[str, object]) -> bool:
    files, content = files_of(message), text_of(message)
    assert isinstance(files, list)  # noqa: S101 - Discord's own form
    if str(content).startswith(FAILURE_MARK):
        raise SystemExit(str(content))
    return any(not is_preview(file["filename"]) for file in files)


def main() -> None:
    """Read the arguments."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--jobs", type=int, default=20)
    parser.add_argument("--steps", type=int, default=20)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(measure(arguments.jobs, arguments.steps, Path(folder)))


if __name__ == "__main__":
    main()
