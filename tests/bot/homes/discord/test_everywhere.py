"""Every command, button, menu and dialog in every sort of place, before and after a restart."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest

from bot.core.job import State
from bot.ledgers import book
from standins.discord.components import files_of, pressable, text_of
from standins.discord.errors import CommandRefused
from standins.discord.interactions import Interaction
from standins.discord.loopback import LoopbackDiscord
from tests.bot.conftest import Bot, RunBot
from tests.bot.homes.discord.desk import (
    MIA,
    MOD_LOG,
    admin,
    at_desk,
    press,
    said,
    set_up,
    with_desk,
)
from tests.bot.homes.discord.test_drafts import blurred
from tests.bot.homes.discord.test_faults import has_pictures
from tests.bot.homes.discord.test_jobs_in_the_channel import BEN, CLEO, says
from tests.bot.homes.discord.test_options import picture
from tests.bot.homes.discord.test_places import (
    BOT_DM,
    OTHER_DM,
    POST,
    STRANGE,
    TEXT,
    THREAD,
    everywhere,
    places,
)
from tests.standins.discord.openapi import DESCRIPTION, Contract

Message = dict[str, Any]
EPHEMERAL = 64

__all__ = ["places"]  # a fixture


@pytest.fixture
def description(request: pytest.FixtureRequest) -> Iterator[Contract | None]:
    """Discord's own, against which every body of one scene is held; of the others they are alike.

    None where it is not beside the project. It is older than Discord's documents, and differs from
    them in nothing that the bot sends or is answered.
    """
    if request.getfixturevalue("place") != TEXT or not DESCRIPTION.is_file():
        yield None
        return
    contract = Contract()
    yield contract
    assert contract.breaches == []
    assert contract.checked > 200


COMMANDS: dict[str, tuple[dict[str, object], str]] = {
    "queue": ({}, "Nobody waits"),
    "about": ({}, "made by a machine"),
    "help": ({}, "/imagine"),
    "history": ({}, "Your pictures"),
    "favourites": ({}, "You like"),
    "jobs": ({}, "delivered"),
    "settings": ({"guidance": 4.0}, "guidance 4"),
    "privacy show": ({}, "By itself all of it is gone"),
    "privacy export": ({}, "all that is kept of you"),
    "privacy erase": ({}, "Really erase"),
    "recipe": ({"image": picture()}, "nothing"),
}


class Scene:
    """Ben, in one place, with one card."""

    def __init__(self, loopback: LoopbackDiscord, bot: Bot, place: int, card: Message) -> None:
        self.loopback = loopback
        self.bot = bot
        self.place = place
        self.card = card

    async def press(self, message: Message, kind: str) -> Interaction:
        ids = [one["custom_id"] for one in pressable(message)]
        custom_id = next(one for one in ids if one.startswith(f"v1:{kind}:"))
        return await self.loopback.press(int(message["id"]), custom_id, user_id=BEN)

    async def use(self, name: str) -> Interaction:
        return await self.loopback.use_on_message(int(self.card["id"]), name, user_id=BEN)

    async def drawn(self, asked: Interaction) -> Message:
        """A card of its own, with pictures, in the same place, and delivered."""
        shown = await asked.until(has_pictures)
        assert int(shown["channel_id"]) == self.place
        assert shown["id"] != self.card["id"]
        (job_id,) = {one["filename"].partition("_")[0] for one in files_of(shown)}
        while (await self.bot.app.ledger.get(job_id)).state is not State.DELIVERED:
            pass
        return shown


async def commands(scene: Scene) -> None:
    for name, (options, words) in COMMANDS.items():
        asked = await scene.loopback.slash(name, options, user_id=BEN, channel_id=scene.place)
        shown = await asked.until(says(words))
        assert shown["flags"] & EPHEMERAL, name


async def more_of_them(scene: Scene) -> None:
    for kind in ("upscale", "strong", "reroll"):
        shown = await scene.drawn(await scene.press(scene.card, kind))
        assert not shown["flags"] & EPHEMERAL


async def look_and_like(scene: Scene) -> None:
    looking = await scene.press(scene.card, "open")
    alone = await looking.until(has_pictures)
    assert alone["flags"] & EPHEMERAL
    for kind, then in (("like", "unlike"), ("unlike", "like")):
        await scene.press(alone, kind)
        alone = await looking.until(lambda one, then=then: f"v1:{then}:" in str(one))  # type: ignore[misc]
    await scene.drawn(await scene.press(alone, "subtle"))


async def edit(scene: Scene) -> None:
    dialog = await (await scene.press(scene.card, "edit")).dialog()
    sent = await scene.loopback.submit(dialog, {"prompt": "a hen", "picture": [picture()]})
    assert "a hen" in text_of(await scene.drawn(sent))


async def recipes(scene: Scene) -> None:
    for asked in (await scene.press(scene.card, "recipe"), await scene.use("Recipe")):
        assert (await asked.until(says("/imagine prompt:a fox")))["flags"] & EPHEMERAL


async def begin(scene: Scene) -> None:
    dialog = await (await scene.use("Imagine from this")).dialog()
    sent = await scene.loopback.submit(dialog, {"prompt": "a cat", "which": "1"})
    assert "a cat" in text_of(await scene.drawn(sent))


async def publish(scene: Scene) -> None:
    asked = await scene.loopback.slash(
        "imagine", {"prompt": "y", "private": True}, user_id=BEN, channel_id=scene.place
    )
    draft = await scene.drawn(asked)
    assert draft["flags"] & EPHEMERAL
    assert not (await scene.drawn(await scene.press(draft, "publish")))["flags"] & EPHEMERAL


async def blur(scene: Scene) -> None:
    for kind, then in (("blur", "unblur"), ("unblur", "blur")):
        pressed = await scene.press(scene.card, kind)
        scene.card = await pressed.until(lambda one, then=then: f"v1:{then}:" in str(one))  # type: ignore[misc]
        assert set(blurred(scene.card)) == {kind == "blur"}


async def pages(scene: Scene) -> None:
    asked = await scene.loopback.slash("history", {}, user_id=BEN, channel_id=scene.place)
    first = await asked.until(has_pictures)
    await scene.press(first, "page")
    older = await asked.until(says("page 2"))
    await (await scene.press(older, "open")).until(has_pictures)


async def order(scene: Scene) -> None:
    """Somebody reports the card, and a moderator decides; in servers that the bot is in."""
    if scene.place not in {TEXT, THREAD, POST}:
        with pytest.raises(CommandRefused):
            await scene.use("Report")
        return
    loopback, card_id = scene.loopback, int(scene.card["id"])
    await with_desk(loopback)
    reporter = MIA if loopback.history(MOD_LOG) else CLEO
    used = await loopback.use_on_message(card_id, "Report", user_id=reporter)
    assert "Reported" in await said(await loopback.submit(await used.dialog(), {"reason": "why"}))
    for kind, shown_blurred in (("veil", True), ("approve", False)):
        case = await at_desk(loopback, lambda one, kind=kind: f"v1:{kind}:" in str(one))  # type: ignore[misc]
        await said(await press(loopback, case, kind, MIA))
        while set(blurred(scene.card)) != {shown_blurred}:
            history = loopback.history(scene.place)
            scene.card = next(one for one in history if int(one["id"]) == card_id)
            await asyncio.sleep(0.005)
    for command in ("policy", "limits", "audit"):
        await said(await admin(loopback, command))


ACTS: tuple[Callable[[Scene], Awaitable[None]], ...] = (
    commands,
    more_of_them,
    look_and_like,
    edit,
    recipes,
    begin,
    publish,
    blur,
    pages,
    order,
)


# Two bots and twenty jobs; where bodies are held against the description, some ten seconds.
@pytest.mark.parametrize("place", [TEXT, THREAD, POST, BOT_DM, OTHER_DM, STRANGE])
async def test_everything_works_here_and_after_a_restart(
    loopback: LoopbackDiscord, run_bot: RunBot, place: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The same again so soon would be taken for one press.
    monkeypatch.setattr(book, "_TWICE_S", 0.0)
    set_up(loopback)
    async with run_bot(config=everywhere()) as bot:
        asked = await loopback.slash(
            "imagine", {"prompt": "a fox", "seed": 5}, user_id=BEN, channel_id=place
        )
        card = await asked.until(has_pictures)
        scene = Scene(loopback, bot, place, card)
        for act in ACTS:
            await act(scene)
    loopback.timers.clock.advance(3_600)  # type: ignore[attr-defined]
    async with run_bot(config=everywhere()) as bot:
        scene = Scene(loopback, bot, place, scene.card)
        for act in ACTS:
            await act(scene)
        deleted = await scene.press(scene.card, "delete")
        left = await deleted.until(says("Deleted by the one who asked."))
        assert (files_of(left), pressable(left)) == ([], [])
        counts = await bot.app.ledger.counts()
        assert {state for state, jobs in counts.items() if jobs} == {State.DELIVERED}
