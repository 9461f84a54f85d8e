"""Every command, shortcut, button and dialog in every sort of place, before and after a restart."""

import io
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from PIL import Image

from bot.core.job import State
from bot.homes.slack import render
from bot.ledgers import book
from standins.slack.loopback import LoopbackSlack
from standins.slack.views import View
from tests.bot.conftest import Bot, RunBot
from tests.bot.homes.slack.desk import MOD_LOG, at_desk, said, with_desk
from tests.bot.homes.slack.test_running import (
    ADA,
    BEN,
    CLEO,
    IMAGINE,
    MIA,
    ask,
    has_pictures,
    says,
    seen,
)

Message = dict[str, Any]

PRIVATE, DIRECT, THREAD = "private channel", "direct message", "thread"
# What is typed behind /imagine, and a word of what is answered to whoever typed it alone.
COMMANDS = {
    "help": "Flags may follow",
    "jobs": "delivered",
    "queue": "Nobody waits",
    "privacy": "By itself all of it is gone",
    "privacy show": "By itself all of it is gone",
    "privacy erase": "Really erase",
}


def picture() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (64, 64), "red").save(file, "PNG")
    return file.getvalue()


class Scene:
    """Ben, in one place, with one card.

    thread  where he has to mention the bot; None: he can use commands
    """

    def __init__(
        self, slack: LoopbackSlack, bot: Bot, channel: str, thread: str | None, card: Message
    ) -> None:
        self.slack = slack
        self.bot = bot
        self.channel = channel
        self.thread = thread
        self.card = card

    async def type(self, text: str) -> None:
        """Say something to the bot, as one does here."""
        await typed(self.slack, text, self.channel, self.thread)

    async def press(self, message: Message, kind: str, *, user: str = BEN) -> None:
        await self.slack.press(message, f"v1:{kind}", user=user)

    async def alone(self, wanted: Callable[[Message], bool]) -> Message:
        """What only Ben sees, and is as wanted; waits for it."""
        return await self._new(lambda one: one.get("viewer") == BEN and wanted(one))

    async def dialog(self) -> View:
        await self.slack.until(lambda: self.slack.view_of(BEN) is not None)
        view = self.slack.view_of(BEN)
        assert view is not None
        return view

    async def drawn(self, act: Awaitable[object], words: str = "") -> Message:
        """A card of its own that all see, with pictures, in the same place, and delivered."""
        before = {one["ts"] for one in self.slack.history(self.channel)}
        await act
        shown = await self._new(
            lambda one: (
                "viewer" not in one
                and one["ts"] not in before
                and has_pictures(one)
                and says(words)(one)
            )
        )
        assert shown.get("thread_ts") == self.thread
        await self._delivered(shown)
        return shown

    async def dismiss(self, message: Message) -> None:
        await self.slack.delete(message, user=BEN)

    async def _new(self, wanted: Callable[[Message], bool]) -> Message:
        return await seen(self.slack, wanted, channel=self.channel, viewer=BEN)

    async def _delivered(self, shown: Message) -> None:
        job_id = shown["metadata"]["event_payload"]["job"]
        while (await self.bot.app.ledger.get(job_id)).state is not State.DELIVERED:
            pass  # reading takes a thread's turn


async def typed(slack: LoopbackSlack, text: str, channel: str, thread: str | None) -> None:
    if thread is None:
        await ask(slack, text, channel=channel)
        return
    mention = f"<@{slack.world.bot_user_id}> {text}"
    await slack.say(mention, user=BEN, channel=channel, thread_ts=thread)


async def commands(scene: Scene) -> None:
    for text, words in COMMANDS.items():
        await scene.type(text)
        await scene.dismiss(await scene.alone(says(words)))
    await scene.type("privacy export")
    await scene.dismiss(await scene.alone(says("all that is kept of you")))


async def more_of_them(scene: Scene) -> None:
    for kind in ("upscale:0", "strong:1", "reroll"):
        await scene.drawn(scene.press(scene.card, kind))


async def look_and_like(scene: Scene) -> None:
    await scene.press(scene.card, "open:0")
    alone = await scene.alone(has_pictures)
    for kind, then in (("like", "unlike"), ("unlike", "like")):
        await scene.press(alone, f"{kind}:0")
        alone = await scene.alone(lambda one, then=then: f"v1:{then}:0" in str(one))  # type: ignore[misc]
    await scene.drawn(scene.press(alone, "subtle:0"))
    await scene.dismiss(alone)


async def edit(scene: Scene) -> None:
    await scene.press(scene.card, "edit")
    view = await scene.dialog()
    await scene.drawn(scene.slack.submit(view, {"prompt": "a hen"}, user=BEN), "a hen")


async def begin(scene: Scene) -> None:
    await scene.slack.message_shortcut("imagine_from", scene.card, user=BEN)
    view = await scene.dialog()
    await scene.drawn(scene.slack.submit(view, {"prompt": "a cat"}, user=BEN), "a cat")


async def anywhere(scene: Scene) -> None:
    """The shortcut that belongs to no message asks where."""
    if not scene.slack.world.channels[scene.channel].name:
        return
    await scene.slack.shortcut("imagine", user=BEN)
    view = await scene.dialog()
    where = {"prompt": "an owl", "where": scene.channel}
    thread, scene.thread = scene.thread, None  # for it knows of no thread
    await scene.drawn(scene.slack.submit(view, where, user=BEN), "an owl")
    scene.thread = thread


async def recipe(scene: Scene) -> None:
    await scene.press(scene.card, "recipe")
    await scene.dismiss(await scene.alone(says("To ask again")))


async def publish(scene: Scene) -> None:
    await scene.type("a moth --seed 3 --private")
    draft = await scene.alone(has_pictures)
    await scene.drawn(scene.press(draft, "publish"), "a moth")
    await scene.press(draft, "delete")
    await scene.dismiss(await scene.alone(says("Deleted by the one who asked")))


async def blur(scene: Scene) -> None:
    for kind, then in (("blur", "unblur"), ("unblur", "blur")):
        await scene.press(scene.card, kind)
        scene.card = await seen(
            scene.slack,
            lambda one, then=then: one["ts"] == scene.card["ts"] and f"v1:{then}" in str(one),  # type: ignore[misc]
            channel=scene.channel,
        )


async def settings(scene: Scene) -> None:
    await scene.type("settings")
    if scene.thread is not None:  # a mention opens no dialog: a button below does
        return
    await scene.slack.submit(await scene.dialog(), {"settings": "steps: 4"}, user=BEN)
    await scene.dismiss(await scene.alone(says("4 steps")))


async def tab(scene: Scene) -> None:
    await scene.slack.open_home(BEN)
    await scene.slack.until(lambda: "a moth" in str(scene.slack.home_of(BEN)))


async def order(scene: Scene) -> None:
    """Somebody reports the card, and a moderator decides."""
    slack = scene.slack
    if scene.channel.startswith("D"):  # nobody else sees it
        return
    await with_desk(slack)
    reporter = MIA if slack.history(MOD_LOG) else CLEO
    await slack.message_shortcut("report", scene.card, user=reporter)
    await slack.until(lambda: slack.view_of(reporter) is not None)
    view = slack.view_of(reporter)
    assert view is not None
    await slack.submit(view, {"reason": "why"}, user=reporter)
    for kind, then in (("blur", "unblur"), ("approve", "blur")):
        case = await at_desk(slack, lambda one, kind=kind: f"desk:{kind}" in str(one))  # type: ignore[misc]
        await slack.press(case, f"desk:{kind}", user=ADA)
        scene.card = await seen(
            slack,
            lambda one, then=then: one["ts"] == scene.card["ts"] and f"v1:{then}" in str(one),  # type: ignore[misc]
            channel=scene.channel,
        )
    for command in ("policy", "limits", "audit"):
        await said(slack, command)


ACTS: tuple[Callable[[Scene], Awaitable[None]], ...] = (
    commands,
    more_of_them,
    look_and_like,
    edit,
    begin,
    anywhere,
    recipe,
    publish,
    blur,
    settings,
    tab,
    order,
)


def channel_of(slack: LoopbackSlack, place: str) -> str:
    if place == PRIVATE:
        channel = slack.world.channels[MOD_LOG]
        slack.world.channels[MOD_LOG].member_ids.update({BEN, CLEO})
        return channel.id
    return slack.world.direct_message(BEN).id if place == DIRECT else IMAGINE


# Two bots and some thirty jobs a place: four seconds.
@pytest.mark.parametrize("place", [IMAGINE, PRIVATE, DIRECT, THREAD])
async def test_everything_works_here_and_after_a_restart(
    slack: LoopbackSlack, run_slack: RunBot, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The same again so soon would be taken for one press.
    monkeypatch.setattr(book, "_TWICE_S", 0.0)
    channel, thread = channel_of(slack, place), None
    if place == THREAD:
        thread = (await slack.say("look", user=CLEO, channel=channel))["ts"]
    async with run_slack() as bot:
        await typed(slack, "a fox --seed 5", channel, thread)
        card = await seen(slack, has_pictures, channel=channel)
        scene = Scene(slack, bot, channel, thread, card)
        for act in ACTS:
            await act(scene)
    slack.timers.clock.advance(3_600)  # type: ignore[attr-defined]
    async with run_slack() as bot:
        scene = Scene(slack, bot, channel, thread, scene.card)
        for act in ACTS:
            await act(scene)
        await scene.press(scene.card, "delete")
        left = await seen(slack, says("Deleted by the one who asked"), channel=channel)
        assert left["ts"] == scene.card["ts"]
        assert not render.files_of(left)
        counts = await bot.app.ledger.counts()
        assert {state for state, jobs in counts.items() if jobs} == {State.DELIVERED}
