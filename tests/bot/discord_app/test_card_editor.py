"""The editor of a card: paced, the latest text only, and the last one surely."""

import asyncio
from types import TracebackType
from typing import Self

import aiohttp
import pytest

from bot.discord_app.card_editor import CardEditor
from bot.discord_app.message import Attachment
from sdxl_engine import GeneratedImage, Images
from tests.fakes import FakeMessage, FakeSleep


class Turnstile:
    """A pace that lets through one edit for each `turn`."""

    def __init__(self) -> None:
        self._permits = asyncio.Semaphore(0)

    def turn(self) -> None:
        self._permits.release()

    async def __aenter__(self) -> Self:
        await self._permits.acquire()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        return None


async def as_picture(previews: Images) -> Attachment:
    return Attachment("preview.webp", previews[0].rgb, "a preview")


def preview(step: int) -> Images:
    return (GeneratedImage(0, 0, 1, 1, bytes([step] * 3)),)


async def test_only_the_latest_preview_is_made_and_the_last_words_take_it_away() -> None:
    message, pace = FakeMessage(), Turnstile()
    editor = CardEditor(message, pace, as_picture)
    editor.show("step 0")
    pace.turn()
    await message.until(lambda: len(message.edits) == 1)
    for step in (1, 2):
        editor.show(f"step {step}", preview(step))
    pace.turn()
    await message.until(lambda: len(message.edits) == 2)
    await editor.finish("failed")
    shown = Attachment("preview.webp", b"\2\2\2", "a preview")
    assert message.edits == [("step 0", None), ("step 2", [shown]), ("failed", ())]


async def test_a_preview_that_cannot_be_made_costs_no_words() -> None:
    async def broken(previews: Images) -> Attachment:
        raise MemoryError

    message, pace = FakeMessage(), Turnstile()
    editor = CardEditor(message, pace, broken)
    editor.show("step 1", preview(1))
    pace.turn()
    await message.until(lambda: bool(message.edits))
    await editor.finish("done")
    assert message.edits == [("step 1", None), ("done", ())]


async def test_finish_does_not_wait_for_a_preview() -> None:
    begun = asyncio.Event()

    async def endless(previews: Images) -> Attachment:
        begun.set()
        await asyncio.Event().wait()
        raise AssertionError

    message, pace = FakeMessage(), Turnstile()
    editor = CardEditor(message, pace, endless)
    editor.show("step 1", preview(1))
    pace.turn()
    await begun.wait()
    await editor.finish("done")
    assert message.edits == [("done", ())]


async def test_only_the_latest_of_many_texts_is_sent() -> None:
    message, pace = FakeMessage(), Turnstile()
    editor = CardEditor(message, pace, as_picture)
    for step in range(50):
        editor.show(f"step {step}")
    pace.turn()
    await message.until(lambda: bool(message.edits))
    assert message.edits == [("step 49", None)]
    await editor.finish("done")
    assert [text for text, _ in message.edits] == ["step 49", "done"]


async def test_the_same_text_is_not_sent_twice() -> None:
    message, pace = FakeMessage(), Turnstile()
    editor = CardEditor(message, pace, as_picture)
    editor.show("same")
    pace.turn()
    await message.until(lambda: bool(message.edits))
    editor.show("same")
    pace.turn()
    await editor.finish("done")
    assert [text for text, _ in message.edits] == ["same", "done"]


async def test_finish_does_not_wait_for_the_pace_and_nothing_follows_it() -> None:
    message, pace = FakeMessage(), Turnstile()
    editor = CardEditor(message, pace, as_picture)
    editor.show("step 1")
    picture = Attachment("a_0.png", b"png", "a circle")
    await editor.finish("done", [picture])
    editor.show("step 2")
    pace.turn()
    pace.turn()
    await asyncio.sleep(0)
    assert message.edits == [("done", [picture])]


async def test_finish_waits_for_an_edit_under_way() -> None:
    message, pace = FakeMessage(), Turnstile()
    editor = CardEditor(message, pace, as_picture)
    message.open.clear()
    editor.show("step 1")
    pace.turn()
    await message.until(lambda: message.attempts == 1)
    finishing = asyncio.create_task(editor.finish("done"))
    await asyncio.sleep(0)
    assert message.attempts == 1
    message.open.set()
    await finishing
    assert [text for text, _ in message.edits] == ["step 1", "done"]


async def test_the_last_edit_is_tried_again() -> None:
    message, sleep = FakeMessage(), FakeSleep()
    message.failures = [aiohttp.ServerDisconnectedError(), TimeoutError()]
    editor = CardEditor(message, Turnstile(), as_picture, sleep=sleep)
    await editor.finish("done")
    assert [text for text, _ in message.edits] == ["done"]
    assert len(sleep.delays_s) == 2
    assert sleep.delays_s[0] <= 1 < 2 * sleep.delays_s[1]


async def test_the_last_edit_gives_up_with_the_last_error_and_may_be_followed_by_another() -> None:
    message, sleep = FakeMessage(), FakeSleep()
    message.failures = [TimeoutError(str(n)) for n in range(5)]
    editor = CardEditor(message, Turnstile(), as_picture, sleep=sleep)
    with pytest.raises(TimeoutError, match="4"):
        await editor.finish("pictures", [Attachment("a", b"", "")])
    await editor.finish("sorry")
    assert [text for text, _ in message.edits] == ["sorry"]


async def test_a_failed_edit_between_is_tried_again_with_the_latest_text() -> None:
    message, pace = FakeMessage(), Turnstile()
    message.failures = [aiohttp.ServerDisconnectedError()]
    editor = CardEditor(message, pace, as_picture)
    editor.show("step 1")
    pace.turn()
    await message.until(lambda: message.attempts == 1 and not message.failures)
    editor.show("step 2")
    pace.turn()
    await message.until(lambda: bool(message.edits))
    assert [text for text, _ in message.edits] == ["step 2"]
    await editor.finish("done")
