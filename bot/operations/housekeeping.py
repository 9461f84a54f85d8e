"""The keeper: what must be done to the records now and then, beside all drawing."""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Final, Protocol

from bot.core.policy import Owner
from bot.core.ports.gallery import Gallery
from bot.core.ports.ledger import Answer, Ledger, Order
from bot.errors import BotError, GalleryError, LedgerError
from bot.shared.retry import Sleep

log = logging.getLogger(__name__)

_DAY_S: Final = 86_400.0
_LOOK_EVERY_S: Final = 1.0
_FORGET_EVERY_S: Final = 3_600.0


class Obeys(Protocol):
    """Who carries an order out; the studio."""

    async def cancel(self, job_id: str, by: Owner) -> None:
        """Stop the job."""

    async def repeat(self, job_id: str) -> str:
        """Ask for it again; returns the new job's id."""


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


async def keep_clean(
    ledger: Ledger,
    gallery: Gallery,
    keep_days: int,
    *,
    clock: Callable[[], float] = time.time,
    sleep: Sleep = asyncio.sleep,
) -> None:
    """Delete prompts and pictures when their days are over; runs until it is cancelled."""
    while True:
        try:
            before_s = clock() - keep_days * _DAY_S
            outdated = await ledger.outdated(before_s)
            # The pictures first: cut off in between, the next round still knows of them.
            await gallery.forget(outdated)
            await ledger.forget(outdated, before_s)
            if outdated:
                log.info("deleted %d jobs that ended %d days ago", len(outdated), keep_days)
        except (LedgerError, GalleryError) as error:
            log.warning("old jobs could not be deleted: %s", error)
        await sleep(_FORGET_EVERY_S)


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
