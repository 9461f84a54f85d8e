"""The editor of a card: paced, the latest words only, and the last ones surely and once."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, nullcontext

import pytest

from bot.core.card import Card, Slot
from bot.errors import AwayError, CardGoneError, CardOverError, UndeliveredError
from bot.homes.cards.editor import CardEditor, LendCard, MakePicture
from bot.homes.cards.message import Seen
from bot.homes.cards.pace import Pace, Paces
from sdxl_engine import GeneratedImage, Images
from tests.fakes import FakeMessage, FakeSleep


class Turnstile:
    """A throttle that lets through one edit for each `turn`."""

    def __init__(self) -> None:
        self._permits = asyncio.Semaphore(0)
        self.waiting = 0

    def turn(self) -> None:
        self._permits.release()

    async def acquire(self) -> None:
        self.waiting += 1
        await self._permits.acquire()
        self.waiting -= 1


PICTURE = Slot("a_0.png", "a circle", b"png")
SHOWN = Slot("a_preview.webp", "a preview", b"\2\2\2")


def said(text: str, pictures: tuple[Slot, ...] | None = None) -> Card:
    return Card(text, "a circle", None, (), pictures=pictures)


def says(text: str) -> Callable[[], Card]:
    return lambda: said(text)


def lent(card: Card) -> LendCard:
    return lambda: nullcontext(card)


def texts(message: FakeMessage) -> list[str]:
    return ["".join(map(str, card.status)) for card in message.edits]


def unheard(_: Seen | None) -> None:
    raise AssertionError


async def as_picture(previews: Images) -> Slot:
    return Slot("a_preview.webp", "a preview", previews[0].rgb)


def preview(step: int) -> Images:
    return (GeneratedImage(0, 0, 1, 1, bytes([step] * 3)),)


def away(retry_after_s: float = 0) -> AwayError:
    return AwayError("not now", retry_after_s)


async def edited(message: FakeMessage, times: int) -> None:
    await message.until(lambda: len(message.edits) == times)


class Desk:
    """An editor, its message and its channel's turnstile.

    over  what the editor reported
    """

    def __init__(self, picture: MakePicture = as_picture, *, restored: bool = False) -> None:
        self.message, self.throttle, self.sleep = FakeMessage(), Turnstile(), FakeSleep()
        self.over: list[Seen | None] = []
        self.editor = CardEditor(
            self.message,
            Pace(self.throttle),
            picture,
            self.over.append,
            restored=restored,
            sleep=self.sleep,
        )

    async def begin(self, text: str = "first") -> None:
        """Show something, which waits for no turn."""
        self.editor.show(says(text))
        await self.message.until(lambda: len(self.message.edits) == 1)


async def test_the_first_words_wait_for_no_turn_and_the_next_do() -> None:
    desk = Desk()
    await desk.begin("number 3")
    desk.editor.show(says("number 2"))
    for _ in range(5):
        await asyncio.sleep(0)
    assert texts(desk.message) == ["number 3"]
    desk.throttle.turn()
    await desk.message.until(lambda: len(desk.message.edits) == 2)
    assert texts(desk.message) == ["number 3", "number 2"]
    await desk.editor.close()


async def test_words_are_asked_for_when_their_turn_has_come() -> None:
    desk, place = Desk(), 3
    await desk.begin()
    desk.editor.show(lambda: said(f"number {place}"))
    place = 2
    desk.editor.look_again()
    place = 1
    desk.throttle.turn()
    await desk.message.until(lambda: len(desk.message.edits) == 2)
    assert texts(desk.message)[-1] == "number 1"
    await desk.editor.close()


async def test_what_has_not_changed_uses_up_no_turn() -> None:
    desk = Desk()
    await desk.begin("same")
    for _ in range(3):
        desk.editor.look_again()
        await asyncio.sleep(0)
    assert desk.throttle.waiting == 0
    await desk.editor.finish(lent(said("done")))
    assert texts(desk.message) == ["same", "done"]


async def test_what_is_wanted_at_once_waits_for_no_turn() -> None:
    desk = Desk()
    await desk.begin()
    desk.editor.show(says("restarting"), at_once=True)
    await desk.editor.answered()
    assert texts(desk.message) == ["first", "restarting"]
    await desk.editor.close()


async def test_cards_of_a_channel_take_turns() -> None:
    throttle = Turnstile()
    paces = Paces(lambda: throttle)
    messages = [FakeMessage() for _ in range(3)]
    editors = [CardEditor(message, paces.of("1"), as_picture, unheard) for message in messages]
    for editor, message in zip(editors, messages, strict=True):
        editor.show(says("first"))
        await edited(message, 1)
    for _ in range(2):
        for editor in editors:
            editor.show(says(f"again {_}"))
        await asyncio.sleep(0)
    for message in messages:
        throttle.turn()
        await edited(message, 2)
    assert throttle.waiting == 0
    for editor in editors:
        await editor.close()


async def test_what_is_drawn_comes_before_what_waits() -> None:
    throttle = Turnstile()
    paces = Paces(lambda: throttle)
    cards = [(FakeMessage(), paces.of("1")) for _ in range(4)]
    editors = [CardEditor(message, pace, as_picture, unheard) for message, pace in cards]
    messages = [message for message, _ in cards]
    for editor, message in zip(editors, messages, strict=True):
        editor.show(says("first"))
        await edited(message, 1)
    for editor in editors:
        editor.show(says("number 1"))
        await asyncio.sleep(0)
    for _ in range(5):
        await asyncio.sleep(0)
    editors[3].show(says("step 1"), urgent=True)  # was the last in line
    for _ in range(5):
        await asyncio.sleep(0)
    throttle.turn()
    throttle.turn()
    await messages[3].until(lambda: len(messages[3].edits) == 2)
    assert texts(messages[3]) == ["first", "step 1"]
    assert sorted(len(message.edits) for message in messages) == [1, 1, 2, 2]
    for editor in editors:
        await editor.close()


async def test_only_the_latest_preview_is_made_and_the_last_words_take_it_away() -> None:
    desk = Desk()
    await desk.begin("step 0")
    for step in (1, 2):
        desk.editor.show(says(f"step {step}"), preview(step))
    desk.throttle.turn()
    await desk.message.until(lambda: len(desk.message.edits) == 2)
    await desk.editor.finish(lent(said("failed", ())))
    assert desk.message.edits == [said("step 0"), said("step 2", (SHOWN,)), said("failed", ())]


async def test_a_preview_that_cannot_be_made_costs_no_words() -> None:
    async def broken(previews: Images) -> Slot:
        raise MemoryError

    desk = Desk(broken)
    desk.editor.show(says("step 1"), preview(1))
    await desk.message.until(lambda: bool(desk.message.edits))
    await desk.editor.finish(lent(said("done")))
    assert desk.message.edits == [said("step 1"), said("done")]


async def test_finish_does_not_wait_for_a_preview() -> None:
    begun = asyncio.Event()

    async def endless(previews: Images) -> Slot:
        begun.set()
        await asyncio.Event().wait()
        raise AssertionError

    desk = Desk(endless)
    desk.editor.show(says("step 1"), preview(1))
    await begun.wait()
    await desk.editor.finish(lent(said("done")))
    assert texts(desk.message) == ["done"]


async def test_finish_does_not_wait_for_a_turn_and_nothing_follows_it() -> None:
    desk = Desk()
    await desk.begin()
    desk.editor.show(says("step 1"))
    await desk.editor.finish(lent(said("done", (PICTURE,))))
    desk.editor.show(says("step 2"))
    desk.throttle.turn()
    await asyncio.sleep(0)
    assert texts(desk.message) == ["first", "done"]


async def test_finish_waits_for_an_edit_under_way() -> None:
    desk = Desk()
    desk.message.open.clear()
    desk.editor.show(says("step 1"))
    await desk.message.until(lambda: desk.message.attempts == 1)
    finishing = asyncio.create_task(desk.editor.finish(lent(said("done"))))
    await asyncio.sleep(0)
    assert desk.message.attempts == 1
    desk.message.open.set()
    await finishing
    assert texts(desk.message) == ["step 1", "done"]


async def test_the_last_edit_is_tried_until_it_works() -> None:
    desk = Desk()
    desk.message.failures = [away() for _ in range(20)]
    await desk.editor.finish(lent(said("done")))
    assert texts(desk.message) == ["done"]
    assert len(desk.sleep.delays_s) == 20
    assert max(desk.sleep.delays_s) <= 60


async def test_a_home_is_left_alone_for_as_long_as_it_asks() -> None:
    desk = Desk()
    desk.message.failures = [away(70), away(0.1)]
    await desk.editor.finish(lent(said("done")))
    first_s, second_s = desk.sleep.delays_s
    assert first_s == 70
    assert 1 <= second_s <= 2


async def test_between_two_tries_nobody_holds_the_pictures() -> None:
    held, seen = 0, []

    @asynccontextmanager
    async def lend() -> AsyncIterator[Card]:
        nonlocal held
        held += 1
        try:
            yield said("done", (PICTURE,))
        finally:
            held -= 1

    async def sleep(_: float) -> None:
        seen.append(held)

    message = FakeMessage()
    message.failures = [away(), away(3)]
    editor = CardEditor(message, Pace(Turnstile()), as_picture, unheard, sleep=sleep)
    await editor.finish(lend)
    assert texts(message) == ["done"]
    assert seen == [0, 0]


@pytest.mark.parametrize("error", [UndeliveredError("gone"), CardGoneError("gone"), ValueError()])
async def test_what_no_second_try_can_mend_is_raised(error: Exception) -> None:
    desk = Desk()
    desk.message.failures = [error]
    with pytest.raises(type(error)):
        await desk.editor.finish(lent(said("pictures", (PICTURE,))))
    await desk.editor.finish(lent(said("sorry", ())))
    assert texts(desk.message) == ["sorry"]


async def test_an_answer_that_was_lost_is_found_by_reading_the_card() -> None:
    desk = Desk()
    desk.message.lost = [away()]
    await desk.editor.finish(lent(said("done", (PICTURE,))))
    assert desk.message.attempts == 1
    assert desk.message.reads == 1


async def test_pictures_of_an_earlier_process_are_not_sent_again() -> None:
    desk = Desk(restored=True)
    desk.message.edits = [said("done", (PICTURE,))]
    await desk.editor.finish(lent(said("done", (PICTURE,))))
    assert desk.message.attempts == 0
    other = Desk(restored=True)
    await other.editor.finish(lent(said("done", (PICTURE,))))
    assert texts(other.message) == ["done"]


async def test_a_failed_edit_between_is_tried_again_with_the_latest_words() -> None:
    desk = Desk()
    await desk.begin()
    desk.message.failures = [away(5)]
    desk.editor.show(says("step 1"))
    desk.throttle.turn()
    await desk.message.until(lambda: not desk.message.failures)
    desk.editor.show(says("step 2"))
    desk.throttle.turn()
    await desk.message.until(lambda: len(desk.message.edits) == 2)
    assert texts(desk.message) == ["first", "step 2"]
    assert desk.sleep.delays_s == [5]
    await desk.editor.finish(lent(said("done")))


async def test_a_card_that_cannot_be_edited_is_left_alone_until_the_end() -> None:
    desk = Desk()
    desk.message.failures = [UndeliveredError("gone")]
    desk.editor.show(says("step 1"))
    await desk.editor.answered()
    await desk.editor.finish(lent(said("done")))
    assert texts(desk.message) == ["done"]


async def test_a_card_that_was_deleted_is_told_and_shown_nothing_more() -> None:
    desk = Desk()
    await desk.begin()
    desk.message.is_gone = True
    desk.editor.show(says("step 1"))
    desk.throttle.turn()
    await desk.message.until(lambda: desk.message.attempts == 2)
    await desk.editor.close()
    assert desk.over == [None]


@pytest.mark.parametrize("is_gone", [False, True])
async def test_a_restored_card_is_read_before_it_is_edited(is_gone: bool) -> None:
    desk = Desk(restored=True)
    desk.message.is_gone = is_gone
    desk.message.is_over = not is_gone
    desk.editor.show(says("number 1"))
    await desk.editor.answered()
    assert desk.message.attempts == 0
    assert desk.over == [None if is_gone else Seen((), is_over=True)]
    await desk.editor.close()


async def test_a_restored_card_with_pictures_is_left_as_it_is() -> None:
    desk = Desk(restored=True)
    desk.message.edits = [said("done", (PICTURE,))]
    desk.editor.show(says("number 1"))
    await desk.editor.answered()
    assert desk.over == [Seen(("a_0.png",), is_over=False)]
    assert texts(desk.message) == ["done"]
    await desk.editor.close()


async def test_a_restored_card_that_is_open_goes_on_and_is_read_once() -> None:
    desk = Desk(restored=True)
    desk.message.edits = [said("step 1", (SHOWN,))]
    for text in ("number 2", "number 1"):
        desk.editor.show(says(text), at_once=True)
        await desk.editor.answered()
    assert texts(desk.message) == ["step 1", "number 2", "number 1"]
    assert desk.message.reads == 1
    assert desk.over == []
    await desk.editor.close()


async def test_a_restored_card_that_is_over_gets_no_pictures() -> None:
    desk = Desk(restored=True)
    desk.message.is_over = True
    with pytest.raises(CardOverError):
        await desk.editor.finish(lent(said("done", (PICTURE,))))
    assert desk.message.attempts == 0


async def test_a_restored_card_that_cannot_be_read_at_first_is_left_as_it_is() -> None:
    desk = Desk(restored=True)
    desk.message.edits = [said("done", (PICTURE,))]
    desk.message.unreadable = 2
    desk.editor.show(says("number 1"))
    await desk.editor.answered()
    assert desk.over == [Seen(("a_0.png",), is_over=False)]
    assert texts(desk.message) == ["done"]
    assert len(desk.sleep.delays_s) == 2
    await desk.editor.close()


async def test_words_put_over_pictures_that_nobody_could_see_are_taken_back() -> None:
    desk = Desk(restored=True)
    desk.message.edits = [said("done", (PICTURE,))]
    desk.message.unreadable = 3  # as often as is tried before it is edited all the same
    desk.editor.show(says("number 1"))
    await desk.editor.answered()
    assert texts(desk.message) == ["done", "number 1"]
    await desk.editor.finish(lent(said("done", (PICTURE,))))
    assert texts(desk.message) == ["done", "number 1", "done"]


async def test_a_restored_card_with_pictures_is_not_told_an_end() -> None:
    desk = Desk(restored=True)
    desk.message.edits = [said("done", (PICTURE,))]
    with pytest.raises(CardOverError):
        await desk.editor.finish(lent(said("It failed.", ())))
    assert texts(desk.message) == ["done"]


async def test_a_job_that_was_stopped_takes_its_pictures_back() -> None:
    desk = Desk(restored=True)
    desk.message.edits = [said("done", (PICTURE,))]
    await desk.editor.finish(lent(said("Deleted by a moderator.", ())), takes_back=True)
    assert texts(desk.message) == ["done", "Deleted by a moderator."]


async def test_a_card_whose_words_cannot_be_made_holds_nobody_up(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def broken() -> Card:
        raise ValueError("a mistake")

    desk = Desk()
    desk.editor.show(broken)
    await desk.editor.answered()
    assert "kept up to date no more" in caplog.text


async def test_the_last_edit_waits_for_no_delay_of_an_earlier_one() -> None:
    """Discord wants to be left alone for a year, and it was about a step."""
    slept = asyncio.Event()

    async def sleep(_: float) -> None:
        slept.set()
        await asyncio.Event().wait()

    message = FakeMessage()
    editor = CardEditor(message, Pace(Turnstile()), as_picture, unheard, sleep=sleep)
    message.failures.append(away(31_536_000))
    editor.show(says("step 1"))
    await slept.wait()
    async with asyncio.timeout(5):
        await editor.finish(lent(said("done")))
    assert texts(message) == ["done"]


async def test_an_edit_that_was_given_up_and_comes_after_the_last_is_undone() -> None:
    desk = Desk()
    desk.message.failures.append(AwayError("no answer", may_come=True))
    desk.editor.show(says("step 1"))
    await desk.message.until(lambda: desk.message.attempts == 1)
    desk.message.strays.append(said("step 1"))
    await desk.editor.finish(lent(said("done", (PICTURE,))))
    assert texts(desk.message) == ["done", "step 1", "done"]
    assert desk.sleep.delays_s[-1] == 10


async def test_where_nothing_came_late_the_last_edit_is_made_once() -> None:
    desk = Desk()
    desk.message.failures.append(AwayError("no answer", may_come=True))
    desk.editor.show(says("step 1"))
    await desk.message.until(lambda: desk.message.attempts == 1)
    await desk.editor.finish(lent(said("done", (PICTURE,))))
    assert texts(desk.message) == ["done"]


async def test_what_is_wanted_at_once_during_an_edit_is_tried_before_it_is_answered() -> None:
    desk = Desk()
    await desk.begin()
    desk.message.open.clear()
    desk.editor.show(says("step 1"))
    desk.throttle.turn()
    await desk.message.until(lambda: desk.message.attempts == 2)
    desk.editor.show(says("restarting"), at_once=True)
    desk.message.open.set()
    await desk.editor.answered()
    assert texts(desk.message) == ["first", "step 1", "restarting"]
    await desk.editor.close()


async def test_a_card_that_is_deleted_after_it_was_finished_was_finished() -> None:
    desk = Desk()
    desk.message.failures.append(AwayError("no answer", may_come=True))
    desk.editor.show(says("step 1"))
    await desk.message.until(lambda: desk.message.attempts == 1)

    async def deleted(_: float) -> None:
        desk.message.is_gone = True

    desk.editor._sleep = deleted
    await desk.editor.finish(lent(said("done", (PICTURE,))))
    assert texts(desk.message) == ["done"]
