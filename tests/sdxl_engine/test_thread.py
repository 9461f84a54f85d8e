"""The engine thread, with pipelines that the test opens step by step."""

import gc
import threading
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import replace
from typing import Any

import pytest

from sdxl_engine import (
    DrawError,
    EngineClosedError,
    EngineFullError,
    EngineJob,
    EngineStartError,
    EngineThread,
    GeneratedImage,
    ImageRequest,
    Images,
    InvalidRequestError,
    JobCancelledError,
    Progress,
)
from sdxl_engine.request import NO_PICTURES, KnownLora, ModelCard, Pictures
from sdxl_engine.thread import sign_of_start
from tests.fakes import FakePipeline, Gate

WAIT_S = 20  # far above what any of this takes: a hang fails the test, a slow machine does not


class GatedPipeline:
    """Draws one-pixel images; each step waits until the test opens it."""

    def __init__(self, *, gated: bool = False) -> None:
        self.sizes = ((1024, 1024),)
        self.models = ("pixels",)
        self.checks = ()
        self.device = "1 x pencil"
        self.loras: dict[str, KnownLora] = {}
        self.gate = threading.Semaphore(0) if gated else None
        self.stepping = threading.Semaphore(0)  # one permit a step that began
        self.drawn: list[str] = []
        self.closed: list[str] = []

    def check(self, request: ImageRequest) -> None:
        if request.prompt == "refused":
            raise InvalidRequestError("No.")

    def resolved(self, request: ImageRequest) -> ImageRequest:
        return request

    def card(self, request: ImageRequest) -> ModelCard:
        return ModelCard(request.model or "pixels")

    def generate(
        self,
        request: ImageRequest,
        *,
        pictures: Pictures = NO_PICTURES,
        previews: bool = False,
    ) -> Iterator[Progress]:
        try:
            for step in range(3):
                self.stepping.release()
                if self.gate is not None:
                    assert self.gate.acquire(timeout=WAIT_S)
                if request.prompt == "broken":
                    raise ValueError("the device said no")
                yield Progress(step, 3)
            self.drawn.append(request.prompt)
            image = GeneratedImage(0, request.seed, 1, 1, b"rgb")
            yield Progress(3, 3, fetch=lambda: (image,))
        finally:
            self.closed.append(request.prompt)


def test_jobs_are_drawn_in_order_on_the_engine_thread() -> None:
    pipeline = GatedPipeline()
    threads = set()
    engine = EngineThread(lambda: pipeline)
    engine.start()
    engine.ready.result(WAIT_S)
    reports: list[Progress] = []

    def listen(progress: Progress) -> None:
        threads.add(threading.current_thread().name)
        reports.append(progress)

    jobs = [
        engine.submit(ImageRequest(f"job {number}", seed=number), listen) for number in range(5)
    ]
    for number, job in enumerate(jobs):
        assert job.future.result(WAIT_S)[0].seed == number
    assert engine.close()
    assert pipeline.drawn == [f"job {number}" for number in range(5)]
    assert threads == {"engine"}
    assert [report.step for report in reports[:4]] == [0, 1, 2, 3]


def test_jobs_may_be_handed_in_while_loading() -> None:
    loaded = threading.Event()

    def load() -> GatedPipeline:
        assert loaded.wait(WAIT_S)
        return GatedPipeline()

    engine = EngineThread(load)
    engine.start()
    job = engine.submit(ImageRequest("early"))
    refused = engine.submit(ImageRequest("early too"))
    refused.cancel()
    assert not job.future.done()
    loaded.set()
    assert job.future.result(WAIT_S)
    with pytest.raises(JobCancelledError):
        refused.future.result(WAIT_S)
    engine.close()


def test_a_waiter_that_gives_up_spoils_nothing() -> None:
    engine = EngineThread(GatedPipeline)
    assert not engine.ready.cancel()
    engine.start()
    assert engine.ready.result(WAIT_S).sizes
    assert engine.submit(ImageRequest("a cat")).future.result(WAIT_S)
    engine.close()


def test_a_failed_start_reaches_every_waiter() -> None:
    failing = threading.Event()

    def load() -> GatedPipeline:
        assert failing.wait(WAIT_S)
        raise MemoryError("16 GB")

    engine = EngineThread(load)
    engine.start()
    jobs = [engine.submit(ImageRequest("early")) for _ in range(3)]
    failing.set()
    waiters: list[Future[Any]] = [engine.ready, *(job.future for job in jobs)]
    for future in waiters:
        with pytest.raises(EngineStartError, match="could not start: 16 GB"):
            future.result(WAIT_S)
    with pytest.raises(EngineStartError):
        engine.submit(ImageRequest("late"))
    assert engine.close()


def test_a_job_that_raises_fails_alone() -> None:
    engine = EngineThread(GatedPipeline)
    engine.start()
    broken = engine.submit(ImageRequest("broken"))
    fine = engine.submit(ImageRequest("fine"))
    with pytest.raises(DrawError) as caught:
        broken.future.result(WAIT_S)
    assert isinstance(caught.value.__cause__, ValueError)
    assert fine.future.result(WAIT_S)
    engine.close()


def test_the_next_job_is_drawn_while_the_images_of_the_last_are_fetched() -> None:
    fetching = threading.Event()

    class Slow(GatedPipeline):
        def generate(
            self,
            request: ImageRequest,
            *,
            pictures: Pictures = NO_PICTURES,
            previews: bool = False,
        ) -> Iterator[Progress]:
            *steps, last = super().generate(request, pictures=pictures, previews=previews)
            yield from steps

            def fetch() -> Images:
                assert fetching.wait(WAIT_S)
                if request.prompt == "damaged":
                    raise DrawError("No picture.")
                assert last.fetch is not None
                return last.fetch()

            yield Progress(3, 3, fetch=fetch)

    pipeline = Slow()
    engine = EngineThread(lambda: pipeline)
    engine.start()
    jobs = [engine.submit(ImageRequest(prompt)) for prompt in ("first", "damaged", "dropped")]
    for job in jobs:
        job.sent.result(WAIT_S)
    assert pipeline.drawn == ["first", "damaged", "dropped"]
    assert not any(job.future.done() for job in jobs)
    jobs[2].cancel()
    fetching.set()
    assert jobs[0].future.result(WAIT_S)
    with pytest.raises(DrawError, match=r"No picture\."):
        jobs[1].future.result(WAIT_S)
    with pytest.raises(JobCancelledError):
        jobs[2].future.result(WAIT_S)
    assert engine.close(timeout_s=WAIT_S)


def test_a_job_that_is_never_drawn_is_sent_as_well() -> None:
    engine = EngineThread(GatedPipeline)
    job = engine.submit(ImageRequest("never"))
    job.cancel()
    assert job.sent.done()
    engine.close()


def test_previews_are_made_only_for_somebody_who_looks() -> None:
    asked = []

    class Watching(GatedPipeline):
        def generate(
            self,
            request: ImageRequest,
            *,
            pictures: Pictures = NO_PICTURES,
            previews: bool = False,
        ) -> Iterator[Progress]:
            asked.append(previews)
            yield from super().generate(request, pictures=pictures, previews=previews)

    engine = EngineThread(Watching)
    engine.start()
    engine.submit(ImageRequest("alone")).future.result(WAIT_S)
    engine.submit(ImageRequest("watched"), lambda _: None).future.result(WAIT_S)
    assert asked == [False, True]
    engine.close()


def test_a_refused_request_never_enters() -> None:
    engine = EngineThread(GatedPipeline)
    engine.start()
    engine.ready.result(WAIT_S)
    with pytest.raises(InvalidRequestError):
        engine.submit(ImageRequest("refused"))
    engine.close()


def test_a_listener_that_raises_costs_nobody_their_images() -> None:
    def listen(progress: Progress) -> None:
        raise RuntimeError("broken listener")

    engine = EngineThread(GatedPipeline)
    engine.start()
    assert engine.submit(ImageRequest("a cat"), listen).future.result(WAIT_S)
    engine.close()


class TestGated:
    @pytest.fixture
    def pipeline(self) -> GatedPipeline:
        return GatedPipeline(gated=True)

    @pytest.fixture
    def engine(self, pipeline: GatedPipeline) -> Iterator[EngineThread]:
        engine = EngineThread(lambda: pipeline, max_pending=2)
        engine.start()
        engine.ready.result(WAIT_S)
        yield engine
        assert pipeline.gate is not None
        pipeline.gate.release(100)
        assert engine.close(timeout_s=WAIT_S)

    def begin(self, engine: EngineThread, pipeline: GatedPipeline, prompt: str) -> EngineJob:
        job = engine.submit(ImageRequest(prompt))
        assert pipeline.stepping.acquire(timeout=WAIT_S)
        return job

    def test_a_full_engine_is_a_named_error(
        self, engine: EngineThread, pipeline: GatedPipeline
    ) -> None:
        self.begin(engine, pipeline, "running")
        for _ in range(2):
            engine.submit(ImageRequest("waiting"))
        with pytest.raises(EngineFullError, match="2 waiting jobs"):
            engine.submit(ImageRequest("one too many"))

    def test_cancel_a_running_job(self, engine: EngineThread, pipeline: GatedPipeline) -> None:
        job = self.begin(engine, pipeline, "running")
        following = engine.submit(ImageRequest("following"))
        job.cancel()
        assert pipeline.gate is not None
        pipeline.gate.release(100)
        with pytest.raises(JobCancelledError):
            job.future.result(WAIT_S)
        assert following.future.result(WAIT_S)
        assert pipeline.drawn == ["following"]
        assert pipeline.closed == ["running", "following"]

    def test_cancel_a_waiting_job(self, engine: EngineThread, pipeline: GatedPipeline) -> None:
        running = self.begin(engine, pipeline, "running")
        waiting = engine.submit(ImageRequest("waiting"))
        waiting.cancel()
        with pytest.raises(JobCancelledError):
            waiting.future.result(0)
        assert pipeline.gate is not None
        pipeline.gate.release(100)
        assert running.future.result(WAIT_S)
        assert pipeline.drawn == ["running"]

    def test_a_cancelled_job_gives_up_its_place(
        self, engine: EngineThread, pipeline: GatedPipeline
    ) -> None:
        self.begin(engine, pipeline, "running")
        for _ in range(5):
            for job in [engine.submit(ImageRequest("waiting")) for _ in range(2)]:
                job.cancel()

    def test_cancel_may_be_called_from_its_own_callback(
        self, engine: EngineThread, pipeline: GatedPipeline
    ) -> None:
        self.begin(engine, pipeline, "running")
        job = engine.submit(ImageRequest("waiting"))
        job.future.add_done_callback(lambda _: job.cancel())
        job.cancel()
        assert job.future.done()

    def test_a_future_cancelled_by_its_awaiter_is_skipped(
        self, engine: EngineThread, pipeline: GatedPipeline
    ) -> None:
        running = self.begin(engine, pipeline, "running")
        waiting = engine.submit(ImageRequest("waiting"))
        assert waiting.future.cancel()
        assert pipeline.gate is not None
        pipeline.gate.release(100)
        assert running.future.result(WAIT_S)
        assert pipeline.drawn == ["running"]

    def test_close_finishes_what_runs_and_hands_back_what_waits(
        self, engine: EngineThread, pipeline: GatedPipeline
    ) -> None:
        running = self.begin(engine, pipeline, "running")
        waiting = engine.submit(ImageRequest("waiting"))
        assert not engine.close(timeout_s=0)
        assert engine.is_alive
        with pytest.raises(EngineClosedError, match="Ask again"):
            waiting.future.result(0)
        with pytest.raises(EngineClosedError):
            engine.submit(ImageRequest("late"))
        assert pipeline.gate is not None
        pipeline.gate.release(100)
        assert engine.close(timeout_s=WAIT_S)
        assert running.future.result(0)
        assert not engine.is_alive

    def test_close_may_cancel_what_runs(
        self, engine: EngineThread, pipeline: GatedPipeline
    ) -> None:
        running = self.begin(engine, pipeline, "running")
        assert not engine.close(cancel_running=True, timeout_s=0)
        assert pipeline.gate is not None
        pipeline.gate.release(100)
        with pytest.raises(JobCancelledError):
            running.future.result(WAIT_S)


def test_close_before_start() -> None:
    engine = EngineThread(GatedPipeline)
    job = engine.submit(ImageRequest("never"))
    assert engine.close()
    waiters: list[Future[Any]] = [engine.ready, job.future]
    for future in waiters:
        with pytest.raises(EngineClosedError):
            future.result(0)
    with pytest.raises(EngineClosedError):
        engine.start()
    with pytest.raises(EngineClosedError):
        engine.submit(ImageRequest("late"))


def test_close_while_loading_settles_everybody() -> None:
    loading, loaded = threading.Event(), threading.Event()

    def load() -> GatedPipeline:
        loading.set()
        assert loaded.wait(WAIT_S)
        return GatedPipeline()

    engine = EngineThread(load)
    engine.start()
    job = engine.submit(ImageRequest("early"))
    assert loading.wait(WAIT_S)
    assert not engine.close(timeout_s=0)
    waiters: list[Future[Any]] = [engine.ready, job.future]
    for future in waiters:
        with pytest.raises(EngineClosedError):
            future.result(0)
    loaded.set()
    assert engine.close(timeout_s=WAIT_S)


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt, GeneratorExit, MemoryError])
def test_no_exception_of_a_job_ends_the_thread(error: type[BaseException]) -> None:
    class Raising(GatedPipeline):
        def generate(
            self,
            request: ImageRequest,
            *,
            pictures: Pictures = NO_PICTURES,
            previews: bool = False,
        ) -> Iterator[Progress]:
            if request.prompt == "broken":
                raise error
            yield from super().generate(request, pictures=pictures, previews=previews)

    engine = EngineThread(Raising)
    engine.start()
    broken = engine.submit(ImageRequest("broken"))
    fine = engine.submit(ImageRequest("fine"))
    with pytest.raises(DrawError):
        broken.future.result(WAIT_S)
    assert fine.future.result(WAIT_S)
    engine.close()


def test_finished_images_belong_to_whoever_asked() -> None:
    engine = EngineThread(GatedPipeline)
    engine.start()
    job = engine.submit(ImageRequest("a cat"))
    assert job.future.result(WAIT_S)
    kept = weakref.ref(job)
    # The thread is past the job once it has drawn the next one.
    assert engine.submit(ImageRequest("another")).future.result(WAIT_S)
    del job
    gc.collect()
    assert kept() is None
    engine.close()


def test_nobody_waits_behind_an_engine_without_places() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        EngineThread(GatedPipeline, max_pending=0)


def test_a_silence_is_measured_while_a_job_is_in_hand_and_only_then() -> None:
    now_s, begun, gate = [100.0], threading.Event(), Gate()
    engine = EngineThread(lambda: FakePipeline(gate=gate), clock=lambda: now_s[0])
    engine.start()
    engine.ready.result(WAIT_S)
    now_s[0] += 50
    assert engine.silent_s == 0
    job = engine.submit(ImageRequest("x", width_px=64, height_px=64), lambda _: begun.set())
    gate.let_through(1)
    assert begun.wait(WAIT_S)
    now_s[0] += 7
    assert engine.silent_s == 7
    gate.open()
    job.future.result(WAIT_S)
    engine.close()
    now_s[0] += 50
    assert engine.silent_s == 0


def test_a_start_that_gives_no_sign_of_life_is_silent() -> None:
    now_s, begun, signs, gate = [100.0], threading.Event(), list[Callable[[], None]](), Gate()

    def start() -> FakePipeline:
        signs.append(sign_of_start())
        begun.set()
        gate.wait()
        return FakePipeline()

    engine = EngineThread(start, clock=lambda: now_s[0])
    now_s[0] += 50
    assert engine.silent_s == 0  # it was not told to start
    engine.start()
    assert begun.wait(WAIT_S)
    now_s[0] += 7
    assert engine.silent_s == 7
    signs[0]()
    now_s[0] += 2
    assert engine.silent_s == 2
    gate.open()
    engine.ready.result(WAIT_S)
    assert engine.silent_s == 0
    engine.close()


def test_a_sign_of_start_means_nothing_elsewhere() -> None:
    sign_of_start()()


def test_whoever_waits_behind_a_fetch_that_hangs_is_not_silent() -> None:
    now_s, fetching, gate = [100.0], threading.Event(), Gate()

    class SlowToFetch(FakePipeline):
        def generate(
            self,
            request: ImageRequest,
            *,
            pictures: Pictures = NO_PICTURES,
            previews: bool = False,
        ) -> Iterator[Progress]:
            *steps, last = super().generate(request, pictures=pictures, previews=previews)
            yield from steps
            yield replace(last, fetch=lambda: self._fetch(last))

        def _fetch(self, last: Progress) -> Images:
            fetching.set()
            gate.wait()
            assert last.fetch is not None
            return last.fetch()

    engine = EngineThread(SlowToFetch, clock=lambda: now_s[0])
    engine.start()
    request = ImageRequest("x", width_px=64, height_px=64, num_inference_steps=2)
    first, second = engine.submit(request), engine.submit(request)
    assert fetching.wait(WAIT_S)
    second.sent.result(WAIT_S)
    now_s[0] += 9
    assert (first.silent_s, second.silent_s, engine.silent_s) == (9, 0, 9)
    gate.open()
    second.future.result(WAIT_S)
    engine.close()
