"""Engines of one machine that start at the same time."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier, Event

from bot.engines.pool.host import first_alone

PATIENCE_S = 20


def go_round(_seconds: float) -> None:
    """Look again at once."""


def test_the_first_starts_alone_and_the_others_side_by_side(tmp_path: Path) -> None:
    begun, go_on, together = Event(), Event(), Barrier(2)

    def first() -> None:
        with first_alone(tmp_path, "a model", go_round):
            begun.set()
            assert go_on.wait(PATIENCE_S)

    def other() -> None:
        with first_alone(tmp_path, "a model", go_round):
            assert go_on.is_set()
            together.wait(PATIENCE_S)

    with ThreadPoolExecutor() as pool:
        starts = [pool.submit(first)]
        assert begun.wait(PATIENCE_S)
        starts += [pool.submit(other) for _ in range(2)]
        go_on.set()
        for start in starts:
            start.result(PATIENCE_S)


def test_after_a_first_that_failed_another_is_the_first(tmp_path: Path) -> None:
    for _ in range(2):
        with ThreadPoolExecutor() as pool:
            together = Barrier(2)

            def fails(together: Barrier = together) -> None:
                together.wait(PATIENCE_S)
                with first_alone(tmp_path, "a model", go_round):
                    raise OSError("The disk is full.")

            starts = [pool.submit(fails) for _ in range(2)]
            assert all(isinstance(start.exception(PATIENCE_S), OSError) for start in starts)


def test_of_another_model_there_is_a_first_one_too(tmp_path: Path) -> None:
    with first_alone(tmp_path, "a model", go_round):
        pass
    waits, inside = Event(), Event()

    def second() -> None:
        with first_alone(tmp_path, "another", lambda _: waits.set()):
            inside.set()

    with ThreadPoolExecutor() as pool:
        with first_alone(tmp_path, "a model", go_round):
            start = pool.submit(second)
            assert waits.wait(PATIENCE_S)
            assert not inside.is_set()
        start.result(PATIENCE_S)
