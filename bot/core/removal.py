"""The deletion of pictures by somebody other than the one who asked: everywhere they are shown."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from bot.core.audit import ELSEWHERE, Deed
from bot.core.clerk import Clerk
from bot.core.job import FINAL, UNDRAWN, Record, State
from bot.core.ports.gallery import Gallery
from bot.core.ports.ledger import Ledger
from bot.core.ports.registry import Registry
from bot.core.worker import Worker
from bot.errors import IllegalMoveError
from bot.shared.job_context import in_job
from sdxl_engine.sentence import say

log = logging.getLogger(__name__)

_BY_MODERATOR: Final = say("Deleted by {who}.", who=say("a moderator"))
_NOT_APPROVED: Final = say("A moderator did not approve these pictures, so they are not shown.")
_SOURCE_DELETED: Final = say("The picture that this starts from was deleted by a moderator.")
_DELETED_ELSEWHERE: Final = say("Its message was deleted.")
_SHOWN: Final = frozenset({State.DELIVERED, State.UNDELIVERED})


class Removal:
    """Whatever is cut off in between is done by the next try.

    worker  is told of jobs that are over now
    clerk   brings to cards what was deleted
    """

    def __init__(
        self, ledger: Ledger, registry: Registry, gallery: Gallery, worker: Worker, clerk: Clerk
    ) -> None:
        self._ledger = ledger
        self._registry = registry
        self._gallery = gallery
        self._worker = worker
        self._clerk = clerk

    async def remove(
        self, record: Record, deed: Deed, sentence: str = _BY_MODERATOR, *, amend: bool = True
    ) -> None:
        """Delete a job's pictures everywhere, those that show the same, and what starts from them.

        sentence  what the cards say from then on
        amend     whether its own card is still to be told

        Raises GalleryError, LedgerError.
        """
        family = await self._registry.family(record.job.id)
        # Itself last: cut off in between, it is asked for again.
        for one in family[1:]:
            await self._remove(one, replace(deed, target=one.job.id), sentence, amend=True)
        await self._stop_offspring(family, deed)
        await self._remove(family[0], deed, sentence, amend=amend and deed.actor != ELSEWHERE)
        await self._stop_offspring(family, deed)  # what was begun meanwhile
        self._clerk.wake()

    async def cancel(self, record: Record, reason: str, deed: Deed) -> None:
        """Cancel a job that is not over, and delete what was drawn of it.

        Where it came to another end first its pictures are deleted. Raises GalleryError,
        LedgerError.
        """
        job_id = record.job.id
        try:
            over = await self._ledger.move(job_id, State.CANCELLED, reason=reason, deed=deed)
        except IllegalMoveError:  # it came to another end first
            now = await self._ledger.get(job_id)
            if now.state in FINAL:
                await self._remove(now, deed, _BY_MODERATOR, amend=True)
            return
        self._worker.withdraw(over)
        if record.state in {State.REVIEW, State.DRAWN}:
            await self._forget(job_id)

    async def _stop_offspring(self, family: Sequence[Record], deed: Deed) -> None:
        """Cancel what starts from their pictures, and keep none of those for it."""
        children = await self._registry.started_from([one.job.id for one in family])
        for child in children:
            if child.state in UNDRAWN:
                its_deed = replace(deed, kind="cancel", target=child.job.id)
                await self.cancel(child, _SOURCE_DELETED, its_deed)
        ids = [child.job.id for child in children]
        await self._worker.noting_trouble(
            lambda: self._gallery.forget_brought(ids), kept="pictures"
        )

    async def _remove(self, record: Record, deed: Deed, sentence: str, *, amend: bool) -> None:
        """One job's pictures, or the job that would have drawn them.

        amend  whether its card is still to be told
        """
        elsewhere = deed.actor == ELSEWHERE
        if record.state not in FINAL:
            await self.cancel(record, _DELETED_ELSEWHERE if elsewhere else _NOT_APPROVED, deed)
            return
        if record.deleted is not None or record.state not in _SHOWN:
            return
        # The pictures first: cut off in between, it can be done again.
        await self._forget(record.job.id)
        await self._ledger.delete_pictures(
            record.job.id,
            _DELETED_ELSEWHERE if elsewhere else sentence,
            deed=deed,
            amend=amend,
        )
        with in_job(record.job.id):
            log.info("pictures deleted")

    async def _forget(self, job_id: str) -> None:
        await self._worker.noting_trouble(lambda: self._gallery.forget([job_id]), kept="pictures")
