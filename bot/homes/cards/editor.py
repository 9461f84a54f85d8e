"""Edits of one card: paced, only the latest, the last one surely and once."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext, suppress
from dataclasses import replace
from typing import Final

from bot.core.card import Card, Slot
from bot.errors import AwayError, CardGoneError, CardOverError, UndeliveredError
from bot.homes.cards.message import Message, Seen
from bot.homes.cards.pace import Pace
from bot.shared.retry import Backoff, Sleep, bounded_s, persist
from sdxl_engine.request import Images
from sdxl_engine.sentence import say

log = logging.getLogger(__name__)

MakePicture = Callable[[Images], Awaitable[Slot]]
# A card for one try. Between tries, which may be an hour apart, nobody holds its pictures.
LendCard = Callable[[], AbstractAsyncContextManager[Card]]
# Told what a card showed that was over already; None: it was deleted.
OnOver = Callable[[Seen | None], None]

# About a day: the pictures are safe, and so is what is to be said.
_LAST_EDIT: Final = Backoff(attempts=2_000)
# A card that cannot be read may be one that the bot may not read: then it is edited all the same.
_READING: Final = Backoff(first_s=0.5, attempts=4)
# An edit that was given up may still come, after the last one and over it: then that is undone.
_SECOND_LOOK_S: Final = 10.0
_BLANK: Final = Card("", "", None, ())


def words_alone(card: Card) -> LendCard:
    """A card that needs no pictures to be lent."""
    return lambda: nullcontext(card)


def is_away(error: Exception) -> bool:
    """Whether the same may succeed later."""
    return isinstance(error, AwayError)


def retry_after_s(error: Exception) -> float:
    """How long the home wants to be left alone; 0 if it did not say."""
    return error.retry_after_s if isinstance(error, AwayError) else 0.0


class CardEditor:
    """Keeps one message up to date without an edit for every step.

    message   what is edited
    pace      of its channel
    picture   makes one file of previews
    on_over   told if the card is found deleted, or over before its job is
    restored  an earlier process had this card; what it shows is not known, and read first
    """

    def __init__(
        self,
        message: Message,
        pace: Pace,
        picture: MakePicture,
        on_over: OnOver,
        *,
        restored: bool = False,
        backoff: Backoff = _LAST_EDIT,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._message = message
        self._pace = pace
        self._picture = picture
        self._on_over = on_over
        self._backoff = backoff
        self._sleep = sleep
        self._in_doubt = restored
        self._unread = restored
        self._touched = False  # by an edit of ours before the last
        self._tried_last = False
        self._strays = False  # an edit before the last may yet arrive
        self._look: Callable[[], Card] = lambda: _BLANK
        self._previews: Images = ()
        self._shown: tuple[Card, Images] = (_BLANK, ())
        self._at_once = True  # the first look answers a person
        self._answered = asyncio.Event()
        self._urgent = False
        self._turn: asyncio.Task[bool] | None = None
        self._changed = asyncio.Event()
        self._editing = asyncio.Lock()  # a later edit must not overtake an earlier one
        self._finished = False
        self._task = asyncio.create_task(self._keep_up(), name="card")
        self._task.add_done_callback(self._ended)

    def show(
        self,
        look: Callable[[], Card],
        previews: Images = (),
        *,
        urgent: bool = False,
        at_once: bool = False,
    ) -> None:
        """Want this on the card; the next one takes its place if it comes first.

        look      asked when the card's turn has come, so that what it says is so
        previews  shown as one picture; without any the picture that is there stays
        urgent    from now on its turns come before those of cards that only wait
        at_once   wait for no turn
        """
        self._look, self._previews = look, previews
        if at_once:
            self._at_once = True
            self._answered.clear()
        if self._turn is not None and (at_once or urgent > self._urgent):
            self._turn.cancel()  # it stands in the wrong line
        self._urgent = urgent
        self._changed.set()

    def look_again(self) -> None:
        """What the card says may have changed."""
        self._changed.set()

    async def answered(self) -> None:
        """Wait until what was wanted at once has been tried."""
        await self._answered.wait()

    async def finish(self, lend: LendCard, *, takes_back: bool = False) -> None:
        """Show this, now, whatever else was wanted; nothing is shown after it but another finish.

        Comes back when it is there. Where an answer was lost, or an earlier process may have done
        it, the card is read first; where an earlier edit was given up, it is read once more some
        time afterwards. Raises CardGoneError, CardOverError, UndeliveredError, AwayError after a
        day of tries, and what `lend` raises.

        takes_back  pictures that an earlier process showed go
        """
        self._finished = True
        async with self._editing:
            self._task.cancel()
            await asyncio.wait([self._task])
            await self._surely(lambda: self._put_last(lend, takes_back=takes_back))
            if self._strays:
                await self._sleep(_SECOND_LOOK_S)
                await self._surely(lambda: self._put_right(lend))

    async def _surely(self, put: Callable[[], Awaitable[None]]) -> None:
        await persist(
            put,
            "the last edit of a card",
            is_passing=is_away,
            retry_after_s=retry_after_s,
            backoff=self._backoff,
            sleep=self._sleep,
        )

    async def _put_last(self, lend: LendCard, *, takes_back: bool) -> None:
        """Show it, unless it is there."""
        async with lend() as card:
            names = [one.filename for one in card.pictures or ()]
            if (self._in_doubt and names) or self._unread:
                seen = await self._message.read()
                # An edit of ours may have put its words over pictures that were there.
                unspoilt = self._tried_last or not self._touched
                if seen is not None and names and seen.shows(names) and unspoilt:
                    log.info("the pictures are there already")
                    return
                is_over = seen is not None and self._tells_end(seen, names)
                if self._unread and is_over and not takes_back:
                    raise CardOverError(say("The card tells how its job ended."))
            self._in_doubt = self._tried_last = True
            await self._message.edit(card, is_last=True)

    async def _put_right(self, lend: LendCard) -> None:
        """Show it again, if something else came over it."""
        seen = None
        with suppress(CardGoneError):  # it was seen, and somebody deleted it since
            for delay_s in _READING.delays_s():
                seen = await self._message.read()
                if seen is not None:
                    break
                await self._sleep(delay_s)
        if seen is None or seen.is_last:
            return
        log.warning("an edit that was given up came after the last one: that is shown anew")
        async with lend() as card:
            await self._message.edit(card, is_last=True)

    async def close(self) -> None:
        """Show nothing any more."""
        self._task.cancel()
        await asyncio.wait([self._task])

    def _is_new(self) -> bool:
        return (self._look(), self._previews) != self._shown

    async def _keep_up(self) -> None:
        while True:
            await self._changed.wait()
            self._changed.clear()
            if self._unread and not await self._is_open():
                self._answered.set()
                return
            if not self._at_once and not await self._wait_for_turn():
                continue
            card, previews = self._look(), self._previews
            picture = card
            if previews:
                picture = await self._with_preview(card, previews)
            async with self._editing:
                if self._finished:
                    return
                self._touched = True
                self._at_once = False  # what is wanted at once from now on is another look
                away = await self._edit(picture)
            if away is None:
                self._shown = card, previews
            if not self._at_once:
                self._answered.set()
            if away is not None:  # not in the lock: the last edit waits for no earlier one's delay
                await self._sleep(bounded_s(away.retry_after_s))
                self._changed.set()

    async def _is_open(self) -> bool:
        """Whether a card of an earlier process still waits for its end, as far as can be seen."""
        for delay_s in _READING.delays_s():
            try:
                seen = await self._message.read()
            except CardGoneError:
                self._on_over(None)
                return False
            if seen is not None:
                self._unread = False
                if seen.is_over or seen.has_pictures:
                    self._on_over(seen)
                    return False
                return True
            await self._sleep(delay_s)
        return True  # it may not be read here: the last edit looks once more

    @staticmethod
    def _tells_end(seen: Seen, names: Sequence[str]) -> bool:
        """Whether an earlier process's card is not to be changed any more."""
        return seen.is_over or (not names and seen.has_pictures)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._answered.set()
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a card is kept up to date no more: %r", error, exc_info=error)

    async def _wait_for_turn(self) -> bool:
        self._turn = asyncio.create_task(self._pace.turn(self._is_new, urgent=self._urgent))
        try:
            await asyncio.wait([self._turn])
            return not self._turn.cancelled() and self._turn.result()
        finally:
            self._turn.cancel()
            self._turn = None

    async def _with_preview(self, card: Card, previews: Images) -> Card:
        try:
            return replace(card, pictures=(await self._picture(previews),))
        except Exception:  # the words matter more
            log.exception("a preview could not be made")
            return card

    async def _edit(self, card: Card) -> AwayError | None:
        """Returns why it must be tried again."""
        try:
            await self._message.edit(card)
        except CardGoneError:
            self._on_over(None)
        except UndeliveredError as error:
            # The pictures will be tried all the same.
            log.warning("the card cannot be edited: %s", error)
        except AwayError as error:
            log.info("an edit of the card failed, it is tried again: %s", error)
            self._strays |= error.may_come
            return error
        return None
