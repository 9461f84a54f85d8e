"""The keeper: what must be done to the records now and then, beside all drawing."""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Final, Protocol

from bot.core.job import State
from bot.core.policy import Owner
from bot.core.ports.gallery import Gallery
from bot.core.ports.ledger import Answer, Ledger, Order
from bot.errors import BotError, GalleryError, LedgerError, UnknownJobError
from bot.shared.retry import Sleep

log = logging.getLogger(__name__)

_DAY_S: Final = 86_400.0
_LOOK_EVERY_S: Final = 1.0
_FORGET_EVERY_S: Final = 3_600.0
# From what somebody brings to the row of its job it takes seconds, and what opens their card lives
# for a quarter of an hour.
UNCLAIMED_AFTER_S: Final = 3_600.0
_LATEST: Final = 1_000  # jobs, as many as [jobs] max_queued may be
_FORGOTTEN_AT_ONCE: Final = 100  # in one transaction, for which everybody who asks waits
_DOUBT: Final = (
    "the clock has gone %.1f days ahead since the bot last looked at it. Was it off for so long? "
    "Then do nothing: in a day that is believed, and what is older than %d days is deleted. If "
    "not, set the machine's clock right by then; if it was wrong before and is right now, raise "
    "[storage] keep_days for as long."
)


class Obeys(Protocol):
    """Who carries an order out; the studio."""

    async def cancel(self, job_id: str, by: Owner) -> None:
        """Stop the job."""

    async def repeat(self, job_id: str) -> str:
        """Ask for it again; returns the new job's id."""


class GivesUp(Protocol):
    """Who ends what waited for too long; the moderators."""

    async def give_up(self, job_id: str, days: int) -> None:
        """Cancel a job about which nobody decided within so many days."""


async def keep_orders(ledger: Ledger, studio: Obeys, *, sleep: Sleep = asyncio.sleep) -> None:
    """Carry out what `imagine jobs` wrote into the ledger; runs until it is cancelled."""
    while True:
        try:
            for order in await ledger.orders():
                answer = await _obey(order, studio)
                log.info("%s %s: %s", order.kind, order.job_id, answer.sentence)
                await ledger.settle(order.id, answer)
        except LedgerError as error:
            log.warning("no orders can be taken: %s", error)
        await sleep(_LOOK_EVERY_S)


def passing_s() -> float:
    """Seconds that pass also while the machine sleeps, where it tells of them."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


async def keep_clean(
    ledger: Ledger,
    gallery: Gallery,
    keep_days: int,
    moderators: GivesUp,
    *,
    clock: Callable[[], float] = time.time,
    monotonic: Callable[[], float] = passing_s,
    sleep: Sleep = asyncio.sleep,
) -> None:
    """Delete prompts and pictures when their days are over; runs until it is cancelled.

    A community may keep them for less. What no moderator decided about by then is given up.

    The days are those that surely passed (`Passage`): where the clock went far ahead while no bot
    ran, whoever runs it is asked, and has a day to set it right.

    clock      seconds since 1970; it may be wrong
    monotonic  seconds
    """
    looked_s: float | None = None
    doubted_s = 0.0
    while True:
        try:
            now_s = monotonic()
            ran_s = None if looked_s is None else now_s - looked_s
            passage = await ledger.look_at_clock(clock(), ran_s)
            looked_s = now_s
            if passage.doubted_s and passage.doubted_s != doubted_s:
                log.warning(_DOUBT, passage.doubted_s / _DAY_S, keep_days)
            doubted_s = passage.doubted_s
            await _give_up(ledger, moderators, keep_days)
            await _forget(ledger, gallery, passage.passed_s - keep_days * _DAY_S)
        except LedgerError as error:
            log.warning("old jobs could not be deleted: %s", error)
        await sleep(_FORGET_EVERY_S)


async def _give_up(ledger: Ledger, moderators: GivesUp, keep_days: int) -> None:
    """End what waits for moderators who never came."""
    for job_id, days in await ledger.undecided(keep_days):
        try:
            await moderators.give_up(job_id, days)
        except GalleryError as error:  # asked again next time
            log.warning("pictures that wait for moderators could not be deleted: %s", error)


async def forget_unclaimed(
    ledger: Ledger, gallery: Gallery, *, after_s: float = 0.0, sleep: Sleep = asyncio.sleep
) -> None:
    """Delete what was brought for jobs that never came to be; before anybody may bring more.

    The process ended in between, or the pictures could not be deleted then.

    after_s  where others may bring some at this moment: how long they have for the row of the job
    """
    try:
        starters = await gallery.starters()
        await sleep(after_s)
    except GalleryError as error:
        log.warning("what was brought for no job is looked for at the next start: %s", error)
        return
    for job_id in starters:
        try:
            await ledger.get(job_id)
        except UnknownJobError:
            try:
                await gallery.forget([job_id])
            except GalleryError as error:
                log.warning("what was brought for no job could not be deleted: %s", error)


async def forget_undrawn(ledger: Ledger, gallery: Gallery) -> None:
    """Delete what was stored of jobs that were over before they were drawn.

    A job may be cancelled while its pictures are written, and the process end before it has taken
    them away again. Such a job is among the latest: no more wait at once.
    """
    try:
        over = await ledger.find(
            states=[State.CANCELLED, State.REJECTED, State.FAILED], limit=_LATEST
        )
        await gallery.forget_drawn([record.job.id for record in over])
    except (GalleryError, LedgerError) as error:
        log.warning("pictures of cancelled jobs are looked for at the next start: %s", error)


async def _forget(ledger: Ledger, gallery: Gallery, before_s: float) -> None:
    """Delete all that was over before then, a few at a time: others write in between."""
    failures: list[GalleryError] = []
    forgotten = 0
    while jobs := await ledger.outdated(before_s, limit=_FORGOTTEN_AT_ONCE, skip=len(failures)):
        gone = []
        for job_id in jobs:
            # The pictures first: cut off in between, the next round still knows of them.
            try:
                await gallery.forget([job_id])
            except GalleryError as error:
                failures.append(error)
            else:
                gone.append(job_id)
        if gone:
            await ledger.forget(gone, before_s)
        forgotten += len(gone)
    await ledger.forget([], before_s)
    if forgotten:
        log.info("deleted %d jobs whose days were over", forgotten)
    if failures:
        log.warning(
            "the pictures of %d jobs could not be deleted, and so they stay on record: %s",
            len(failures),
            failures[0],
        )


async def _obey(order: Order, studio: Obeys) -> Answer:
    try:
        if order.kind == "cancel":
            await studio.cancel(order.job_id, Owner())
            return Answer(f"The job {order.job_id} is cancelled.", done=True)
        new_id = await studio.repeat(order.job_id)
    except LedgerError:
        raise
    except BotError as error:
        return Answer(str(error), done=False)
    except Exception as error:  # an order must not stop the bot, at each start anew
        log.exception("%s %s failed", order.kind, order.job_id)
        return Answer(f"It failed: {type(error).__name__}. The log tells more.", done=False)
    return Answer(f"The job {order.job_id} waits again as {new_id}.", done=True)
