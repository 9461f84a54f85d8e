"""The queue in words, for one person: who waits, how long it takes, where their own jobs stand."""

from collections.abc import Iterator

from bot.core.card import Moment
from bot.core.studio import Crowd
from sdxl_engine.sentence import say, say_many


def lines(crowd: Crowd, now_s: float) -> Iterator[str]:
    """Sentences; now_s in seconds since 1970."""
    yield _waiting(crowd)
    yield from speed(crowd)
    for job_id, position in sorted(crowd.own.items(), key=lambda one: one[1].place):
        job, place, ready_in_s = f"`{job_id}`", position.place, position.ready_in_s
        if ready_in_s is None:
            yield say("{job} of yours is number {place}.", job=job, place=place)
        else:
            yield say(
                "{job} of yours is number {place}, ready {ready}.",
                job=job,
                place=place,
                ready=Moment(round(now_s + ready_in_s)),
            )


def speed(crowd: Crowd) -> Iterator[str]:
    """How long what is usual takes, once that was measured."""
    if crowd.typical_s is not None:
        seconds = max(round(crowd.typical_s), 1)
        yield say("What is usual takes {seconds} s to draw.", seconds=seconds)


def _waiting(crowd: Crowd) -> str:
    if crowd.waiting:
        return say_many("{count} job waits.", "{count} jobs wait.", crowd.waiting)
    return say("Nobody waits.") if crowd.is_drawing else say("Nobody waits, and nothing is drawn.")
