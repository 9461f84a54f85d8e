"""The editor of a card: paced, the latest words only, and the last ones surely and once."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, nullcontext
from types import SimpleNamespace

import aiohttp
import discord
import pytest

from bot.errors import UndeliveredError
from bot.homes.cards.editor import CardEditor, LendFace
from bot.homes.cards.pace import Pace, Paces
from bot.homes.discord.message import Attachment, Face, retry_after_s
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


PICTURE = Attachment("a_0.png", b"png", "a circle")
SHOWN = Attachment("preview.webp", b"\2\2\2", "a preview")


def says(text: str) -> Callable[[], Face]:
    return lambda: Face(text)


def lent(face: Face) -> LendFace:
    return lambda: nullcontext(face)


def texts(message: FakeMessage) -> list[str]:
    return [face.text for face in message.edits]


async def as_picture(previews: Images) -> Attachment:
    return Attachment("preview.webp", previews[0].rgb, "a preview")


def preview(step: int) -> Images:
    return (GeneratedImage(0, 0, 1, 1, bytes([step] * 3)),)


def limited(seconds: float) -> discord.HTTPException:
    response = SimpleNamespace(status=429, reason="", headers={"Retry-After": str(seconds)})
    return discord.HTTPException(response, {"message": "slow down"})


class Card:
    """An editor, its message and its channel's turnstile."""

    def __init__(self, picture=as_picture, *, restored: bool = False) -> None:
        self.message, self.throttle, self.sleep = FakeMessage(), Turnstile(), FakeSleep()
        self.editor = CardEditor(
            self.message, Pace(self.throttle), picture, restored=restored, sleep=self.sleep
        )

    async def begin(self, text: str = "first") -> None:
        """Show something, which waits for no turn."""
        self.editor.show(says(text))
        await self.message.until(lambda: len(self.message.edits) == 1)


async def test_the_first_words_wait_for_no_turn_and_the_next_do() -> None:
    card = Card()
    await card.begin("number 3")
    card.editor.show(says("number 2"))
    for _ in range(5):
        await asyncio.sleep(0)
    assert texts(card.message) == ["number 3"]
    card.throttle.turn()
    await card.message.until(lambda: len(card.message.edits) == 2)
    assert texts(card.message) == ["number 3", "number 2"]
    await card.editor.close()


async def test_words_are_asked_for_when_their_turn_has_come() -> None:
    card, place = Card(), 3
    await card.begin()
    card.editor.show(lambda: Face(f"number {place}"))
    place = 2
    card.editor.look_again()
    place = 1
    card.throttle.turn()
    await card.message.until(lambda: len(card.message.edits) == 2)
    assert texts(card.message)[-1] == "number 1"
    await card.editor.close()


async def test_what_has_not_changed_uses_up_no_turn() -> None:
    card = Card()
    await card.begin("same")
    for _ in range(3):
        card.editor.look_again()
        await asyncio.sleep(0)
    assert card.throttle.waiting == 0
    await card.editor.finish(lent(Face("done")))
    assert texts(card.message) == ["same", "done"]


async def test_what_is_wanted_at_once_waits_for_no_turn() -> None:
    card = Card()
    await card.begin()
    card.editor.show(says("restarting"), at_once=True)
    await card.editor.answered()
    assert texts(card.message) == ["first", "restarting"]
    await card.editor.close()


async def test_cards_of_a_channel_take_turns() -> None:
    throttle = Turnstile()
    paces = Paces(lambda: throttle)
    messages = [FakeMessage() for _ in range(3)]
    editors = [CardEditor(message, paces.of(1), as_picture) for message in messages]
    for editor, message in zip(editors, messages, strict=True):
        editor.show(says("first"))
        await message.until(lambda message=message: len(message.edits) == 1)
    for _ in range(2):
        for editor in editors:
            editor.show(says(f"again {_}"))
        await asyncio.sleep(0)
    for message in messages:
        throttle.turn()
        await message.until(lambda message=message: len(message.edits) == 2)
    assert throttle.waiting == 0
    for editor in editors:
        await editor.close()


async def test_what_is_drawn_comes_before_what_waits() -> None:
    throttle = Turnstile()
    paces = Paces(lambda: throttle)
    cards = [(FakeMessage(), paces.of(1)) for _ in range(4)]
    editors = [CardEditor(message, pace, as_picture) for message, pace in cards]
    messages = [message for message, _ in cards]
    for editor, message in zip(editors, messages, strict=True):
        editor.show(says("first"))
        await message.until(lambda message=message: len(message.edits) == 1)
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
    card = Card()
    await card.begin("step 0")
    for step in (1, 2):
        card.editor.show(says(f"step {step}"), preview(step))
    card.throttle.turn()
    await card.message.until(lambda: len(card.message.edits) == 2)
    await card.editor.finish(lent(Face("failed", ())))
    assert card.message.edits == [Face("step 0"), Face("step 2", (SHOWN,)), Face("failed", ())]


async def test_a_preview_that_cannot_be_made_costs_no_words() -> None:
    async def broken(previews: Images) -> Attachment:
        raise MemoryError

    card = Card(broken)
    card.editor.show(says("step 1"), preview(1))
    await card.message.until(lambda: bool(card.message.edits))
    await card.editor.finish(lent(Face("done")))
    assert card.message.edits == [Face("step 1"), Face("done")]


async def test_finish_does_not_wait_for_a_preview() -> None:
    begun = asyncio.Event()

    async def endless(previews: Images) -> Attachment:
        begun.set()
        await asyncio.Event().wait()
        raise AssertionError

    card = Card(endless)
    card.editor.show(says("step 1"), preview(1))
    await begun.wait()
    await card.editor.finish(lent(Face("done")))
    assert texts(card.message) == ["done"]


async def test_finish_does_not_wait_for_a_turn_and_nothing_follows_it() -> None:
    card = Card()
    await card.begin()
    card.editor.show(says("step 1"))
    await card.editor.finish(lent(Face("done", (PICTURE,))))
    card.editor.show(says("step 2"))
    card.throttle.turn()
    await asyncio.sleep(0)
    assert texts(card.message) == ["first", "done"]


async def test_finish_waits_for_an_edit_under_way() -> None:
    card = Card()
    card.message.open.clear()
    card.editor.show(says("step 1"))
    await card.message.until(lambda: card.message.attempts == 1)
    finishing = asyncio.create_task(card.editor.finish(lent(Face("done"))))
    await asyncio.sleep(0)
    assert card.message.attempts == 1
    card.message.open.set()
    await finishing
    assert texts(card.message) == ["step 1", "done"]


async def test_the_last_edit_is_tried_until_it_works() -> None:
    card = Card()
    card.message.failures = [TimeoutError() for _ in range(20)]
    await card.editor.finish(lent(Face("done")))
    assert texts(card.message) == ["done"]
    assert len(card.sleep.delays_s) == 20
    assert max(card.sleep.delays_s) <= 60


async def test_discord_is_left_alone_for_as_long_as_it_asks() -> None:
    card = Card()
    card.message.failures = [limited(70), limited(0.1)]
    await card.editor.finish(lent(Face("done")))
    first_s, second_s = card.sleep.delays_s
    assert first_s == 70
    assert 1 <= second_s <= 2
    assert retry_after_s(limited(3)) == 3
    assert retry_after_s(TimeoutError()) == 0


async def test_between_two_tries_nobody_holds_the_pictures() -> None:
    held, seen = 0, []

    @asynccontextmanager
    async def lend() -> AsyncIterator[Face]:
        nonlocal held
        held += 1
        try:
            yield Face("done", (PICTURE,))
        finally:
            held -= 1

    async def sleep(_: float) -> None:
        seen.append(held)

    message = FakeMessage()
    message.failures = [TimeoutError(), limited(3)]
    editor = CardEditor(message, Pace(Turnstile()), as_picture, sleep=sleep)
    await editor.finish(lend)
    assert texts(message) == ["done"]
    assert seen == [0, 0]


@pytest.mark.parametrize("error", [UndeliveredError("gone"), discord.ClientException()])
async def test_what_no_second_try_can_mend_is_raised(error: Exception) -> None:
    card = Card()
    card.message.failures = [error]
    with pytest.raises(type(error)):
        await card.editor.finish(lent(Face("pictures", (PICTURE,))))
    await card.editor.finish(lent(Face("sorry", ())))
    assert texts(card.message) == ["sorry"]


async def test_an_answer_that_was_lost_is_found_by_reading_the_card() -> None:
    card = Card()
    card.message.lost = [aiohttp.ServerDisconnectedError()]
    await card.editor.finish(lent(Face("done", (PICTURE,))))
    assert card.message.attempts == 1
    assert card.message.reads == 1


async def test_pictures_of_an_earlier_process_are_not_sent_again() -> None:
    card = Card(restored=True)
    card.message.edits = [Face("done", (PICTURE,))]
    await card.editor.finish(lent(Face("done", (PICTURE,))))
    assert card.message.attempts == 0
    other = Card(restored=True)
    await other.editor.finish(lent(Face("done", (PICTURE,))))
    assert texts(other.message) == ["done"]


async def test_a_failed_edit_between_is_tried_again_with_the_latest_words() -> None:
    card = Card()
    await card.begin()
    card.message.failures = [limited(5)]
    card.editor.show(says("step 1"))
    card.throttle.turn()
    await card.message.until(lambda: not card.message.failures)
    card.editor.show(says("step 2"))
    card.throttle.turn()
    await card.message.until(lambda: len(card.message.edits) == 2)
    assert texts(card.message) == ["first", "step 2"]
    assert card.sleep.delays_s == [5]
    await card.editor.finish(lent(Face("done")))


async def test_a_card_that_cannot_be_edited_is_left_alone_until_the_end() -> None:
    card = Card()
    card.message.failures = [UndeliveredError("gone")]
    card.editor.show(says("step 1"))
    await card.editor.answered()
    await card.editor.finish(lent(Face("done")))
    assert texts(card.message) == ["done"]
