"""The moderators' desk over the wire: cases come to it, and what is pressed there is done."""

import asyncio
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bot.core.job import State
from standins.base.faults import Fault
from standins.discord.components import files_of, text_of
from standins.discord.errors import CommandRefused
from standins.discord.interactions import Interaction
from standins.discord.loopback import LoopbackDiscord
from standins.discord.world import READ_MESSAGE_HISTORY, SEND_MESSAGES, Channel
from tests.bot.conftest import SIZES, RunBot
from tests.bot.homes.discord.desk import (
    EVERY_RANK,
    GALLERY,
    MIA,
    MOD_LOG,
    OLA,
    ORDERLY,
    admin,
    at_desk,
    doubtful,
    filtering,
    kinds,
    press,
    refused,
    said,
    set_up,
    with_desk,
)
from tests.bot.homes.discord.test_drafts import blurred
from tests.bot.homes.discord.test_faults import has_pictures
from tests.bot.homes.discord.test_jobs_in_the_channel import ADA, BEN, CLEO, says
from tests.bot.homes.discord.test_layout import gallery
from tests.fakes import FakePipeline, Gate

Message = dict[str, Any]

REVIEWED = "A moderator looks at the pictures"


@pytest.fixture(autouse=True)
def people(loopback: LoopbackDiscord) -> None:
    """A desk's channel and people of every rank."""
    set_up(loopback)


async def ask(loopback: LoopbackDiscord, prompt: str = "a fox", user_id: int = BEN) -> Interaction:
    return await loopback.slash("imagine", {"prompt": prompt, "seed": 5}, user_id=user_id)


async def held(loopback: LoopbackDiscord) -> tuple[Interaction, Message]:
    """A wish whose pictures wait, and its case."""
    asked = await ask(loopback)
    await asked.until(says(REVIEWED))
    return asked, await at_desk(loopback, says("Pictures wait for a moderator"))


def has(kind: str) -> Callable[[Message], bool]:
    return lambda message: kind in kinds(message)


def lacks(kind: str) -> Callable[[Message], bool]:
    return lambda message: kind not in kinds(message)


async def test_what_is_held_is_seen_at_the_desk_and_shown_once_it_is_approved(
    loopback: LoopbackDiscord, run_bot: RunBot
) -> None:
    async with run_bot(doubtful):
        await with_desk(loopback)
        asked, case = await held(loopback)
        assert not has_pictures(asked.original or {})
        text = text_of(case)
        assert "```\na fox\n```" in text
        assert f"<@{BEN}> (ben, {BEN})" in text
        assert "nsfw, in picture 1: nsfw 0.90" in text
        assert "Nobody has decided yet." in text
        assert case["mentions"] == []
        assert set(blurred(case)) == {True}
        assert gallery(case)[0]["description"] == "Picture 1 of 4: a fox"
        assert kinds(case) == ["approve", "veil", "strike", "warn", "block"]
        pressed = await press(loopback, case, "approve", MIA)
        assert await said(pressed) == "Approved. The pictures are shown now."
        shown = await asked.until(has_pictures)
        assert set(blurred(shown)) == {False}
        decided = await at_desk(loopback, says(f"Approved by <@{MIA}>."))
        assert kinds(decided) == ["veil", "strike", "warn", "block"]
        assert decided["id"] == case["id"]
    assert len(loopback.history(MOD_LOG)) == 1


async def test_two_moderators_at_once_do_it_once(
    loopback: LoopbackDiscord, run_bot: RunBot
) -> None:
    async with run_bot(doubtful) as bot:
        await with_desk(loopback)
        asked, case = await held(loopback)
        presses = [await press(loopback, case, "approve", who) for who in (MIA, ADA, MIA)]
        answers = {await said(one) for one in presses}
        assert answers == {"Approved. The pictures are shown now."}
        await asked.until(has_pictures)
        audit = await said(await admin(loopback, "audit"))
        assert audit.count("approved") == 1
        assert len(await bot.app.ledger.find()) == 1


@pytest.mark.parametrize("act", ["approve", "veil", "strike"])
async def test_a_case_of_before_the_restart_is_decided_after_it(
    loopback: LoopbackDiscord, run_bot: RunBot, act: str
) -> None:
    async with run_bot(doubtful):
        await with_desk(loopback)
        asked, case = await held(loopback)
    loopback.timers.clock.advance(3_600)  # type: ignore[attr-defined]
    async with run_bot(doubtful):
        pressed = await press(loopback, case, act, MIA)
        if act == "strike":
            pressed = await loopback.submit(await pressed.dialog(), {"reason": "not here"})
        await said(pressed)
        await at_desk(loopback, lacks(act))
        if act == "strike":
            await asked_ends(loopback, "did not approve")
        else:
            shown = await asked_shown(loopback, asked.channel.id)
            assert set(blurred(shown)) == {act == "veil"}


async def asked_shown(loopback: LoopbackDiscord, channel_id: int) -> Message:
    while True:
        for message in loopback.history(channel_id):
            if has_pictures(message):
                return message
        await asyncio.sleep(0.005)


async def asked_ends(loopback: LoopbackDiscord, words: str) -> Message:
    while True:
        for message in loopback.history(loopback.world.first_channel.id):
            if words in text_of(message):
                return message
        await asyncio.sleep(0.005)


@pytest.mark.parametrize("rank", EVERY_RANK)
async def test_only_those_of_the_desk_decide(
    loopback: LoopbackDiscord, run_bot: RunBot, rank: str
) -> None:
    """Whoever sees it: a channel's permissions say more of who reads than of who decides."""
    who, words = EVERY_RANK[rank], "Only those who moderate"
    done = {
        "veil": "blurred",
        "approve": "Approved",
        "warn": "tells",
        "block": "may not ask",
        "unblock": "may ask",
        "strike": "deleted",
    }
    async with run_bot(lambda: doubtful(0.6)):
        await with_desk(loopback)
        await (await ask(loopback)).until(has_pictures)
        case = await at_desk(loopback)
        if rank not in ORDERLY:
            for kind in kinds(case):
                pressed = await press(loopback, case, kind, who)
                assert words in await refused(pressed)
            assert "Nobody has decided yet." in text_of(await at_desk(loopback))
            return
        for kind, answer in done.items():
            case = await at_desk(loopback, has(kind))
            pressed = await press(loopback, case, kind, who)
            if kind in {"warn", "block", "strike"}:
                pressed = await loopback.submit(await pressed.dialog(), {"reason": "why"})
            assert answer in await said(pressed)
            if kind != "warn":
                await at_desk(loopback, lacks(kind))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("UPDATE cases SET community = '1'", "Only those who moderate"),
        ("DELETE FROM cases", "no longer on record"),
    ],
)
async def test_a_case_of_another_server_or_of_none_is_not_decided(
    loopback: LoopbackDiscord, run_bot: RunBot, change: str, words: str
) -> None:
    async with run_bot(doubtful) as bot:
        await with_desk(loopback)
        _, case = await held(loopback)
        await bot.app.ledger.database.write(lambda connection: connection.execute(change))
        for kind in kinds(case):
            assert words in await refused(await press(loopback, case, kind, MIA))


async def test_who_is_warned_is_told_alone_and_blocked_asks_for_nothing(
    loopback: LoopbackDiscord, run_bot: RunBot
) -> None:
    async with run_bot(lambda: doubtful(0.6)):
        await with_desk(loopback)
        await (await ask(loopback)).until(has_pictures)
        case = await at_desk(loopback)
        dialog = await (await press(loopback, case, "warn", MIA)).dialog()
        assert "The one who is warned reads it" in json.dumps(dialog.form)
        await said(await loopback.submit(dialog, {"reason": "**kind** @everyone"}))
        await at_desk(loopback, says("Warned 1 time."))
        direct = loopback.world.direct_messages(loopback.world.people[BEN])
        while not loopback.history(direct.id):  # noqa: ASYNC110 - the clerk tells no one
            await asyncio.sleep(0.005)
        (told,) = loopback.history(direct.id)
        assert "A moderator warns you" in told["content"]
        assert r"\*\*kind\*\*" in told["content"]
        assert "It is about “a fox”." in told["content"]
        assert loopback.world.guild_name in told["content"]
        dialog = await (await press(loopback, case, "block", MIA)).dialog()
        assert "The one who is blocked reads it" in json.dumps(dialog.form)
        await said(await loopback.submit(dialog, {"reason": "enough"}))
        assert "The reason: “enough”." in text_of(await at_desk(loopback, has("unblock")))
        asked = await ask(loopback)
        assert "enough" in await refused(asked)
        await said(await press(loopback, await at_desk(loopback), "unblock", MIA))
        await (await ask(loopback, "a hen")).until(has_pictures)


async def test_who_takes_no_messages_holds_nobody_up(
    loopback: LoopbackDiscord, run_bot: RunBot
) -> None:
    loopback.world.people[BEN].takes_messages = False
    async with run_bot(lambda: doubtful(0.6)):
        await with_desk(loopback)
        await (await ask(loopback)).until(has_pictures)
        dialog = await (await press(loopback, await at_desk(loopback), "warn", MIA)).dialog()
        await said(await loopback.submit(dialog, {}))
        await at_desk(loopback, says("Warned 1 time."))


async def test_a_lost_answer_makes_no_second_warning(
    loopback: LoopbackDiscord, run_bot: RunBot
) -> None:
    async with run_bot(lambda: doubtful(0.6), sleep=lambda _: asyncio.sleep(0)):
        await with_desk(loopback)
        await (await ask(loopback)).until(has_pictures)
        case = await at_desk(loopback)
        direct = loopback.world.direct_messages(loopback.world.people[BEN])
        lost = Fault(kind="drop_after", method="POST", route=f"/channels/{direct.id}/messages")
        loopback.faults.add(lost)
        dialog = await (await press(loopback, case, "warn", MIA)).dialog()
        await said(await loopback.submit(dialog, {}))
        await at_desk(loopback, says("Warned 1 time."))
        await lost.wait_fired()
    assert len(loopback.history(direct.id)) == 1


async def test_a_prompt_that_the_filter_refuses_is_seen_at_the_desk(
    loopback: LoopbackDiscord, run_bot: RunBot
) -> None:
    async with run_bot() as bot:
        filtering(bot)
        await with_desk(loopback)
        added = await admin(loopback, "filter add", term="crow", category="birds")
        assert "has 1 term" in await said(added)
        asked = await ask(loopback, "a ```crow``` <@1> [x](http://y)")
        told = await refused(asked)
        assert "birds" in told
        assert "To ask again" not in told  # it would be refused again
        case = await at_desk(loopback, says("A prompt was refused"))
        assert kinds(case) == ["warn", "block"]
        assert "birds, in the prompt: crow" in text_of(case)
        assert text_of(case).count("```") == 2  # of the code block alone
        assert files_of(case) == []


async def test_a_report_comes_to_the_desk_with_its_reason(
    loopback: LoopbackDiscord, run_bot: RunBot
) -> None:
    async with run_bot():
        shown = await (await ask(loopback)).until(has_pictures)

        async def report(user_id: int, reason: str) -> Interaction:
            used = await loopback.use_on_message(int(shown["id"]), "Report", user_id=user_id)
            return await loopback.submit(await used.dialog(), {"reason": reason})

        early = await report(CLEO, "bad")
        assert "Nobody takes reports here" in await refused(early)
        await with_desk(loopback)
        assert "Reported" in await said(await report(CLEO, "bad"))
        case = await at_desk(loopback, says(f"Reported by <@{CLEO}>: bad"))
        again = await report(CLEO, "worse")
        assert "reported this before" in await refused(again)
        assert "Reported" in await said(await report(MIA, ""))
        await at_desk(loopback, says(f"Reported by <@{MIA}>"))
        await said(await press(loopback, case, "veil", MIA))
        card = await asked_blurred(loopback, int(shown["id"]))
        assert set(blurred(card)) == {True}
        theirs = await loopback.say("hello", user_id=CLEO)
        used = await loopback.use_on_message(int(theirs["id"]), "Report", user_id=BEN)
        assert "drew no pictures in this message" in await refused(used)


async def asked_blurred(loopback: LoopbackDiscord, message_id: int) -> Message:
    while True:
        for message in loopback.history(loopback.world.first_channel.id):
            if int(message["id"]) == message_id and all(blurred(message)):
                return message
        await asyncio.sleep(0.005)


def pictures(folder: Path) -> list[Path]:
    return [one for one in (folder / "data" / "images").rglob("*") if one.is_file()]


async def until_gone(folder: Path) -> None:
    while pictures(folder):  # noqa: ASYNC110 - a disk tells no one
        await asyncio.sleep(0.005)


@pytest.mark.parametrize("together", [False, True])
async def test_what_is_deleted_in_discord_is_deleted_here(
    loopback: LoopbackDiscord, run_bot: RunBot, tmp_path: Path, together: bool
) -> None:
    async with run_bot() as bot:
        shown = [await (await ask(loopback, one)).until(has_pictures) for one in ("a", "b")]
        while (await bot.app.ledger.counts())[State.DELIVERED] < 2:
            pass
        assert pictures(tmp_path)
        ids = [int(one["id"]) for one in shown]
        if together:
            loopback.delete_together(ids, user_id=MIA)
        else:
            for one in ids:
                loopback.delete(one, user_id=MIA)
        await until_gone(tmp_path)
        records = await bot.app.ledger.find()
        while not all(one.deleted for one in records):
            records = await bot.app.ledger.find()


@pytest.mark.parametrize("kind", ["channel", "thread"])
async def test_a_channel_that_is_deleted_takes_its_pictures(
    loopback: LoopbackDiscord, run_bot: RunBot, tmp_path: Path, kind: str
) -> None:
    place = GALLERY
    if kind == "thread":
        place = 900_000_000_000_000_390
        loopback.change_channel(Channel(place, "talk", kind=11, parent_id=GALLERY))
    async with run_bot() as bot:
        asked = await loopback.slash("imagine", {"prompt": "x"}, user_id=BEN, channel_id=place)
        await asked.until(has_pictures)
        while (await bot.app.ledger.counts())[State.DELIVERED] < 1:
            pass
        loopback.delete_channel(place, user_id=ADA)
        await until_gone(tmp_path)


async def test_a_deletion_of_the_last_moment_is_still_done(
    loopback: LoopbackDiscord, run_bot: RunBot, tmp_path: Path
) -> None:
    async with run_bot() as bot:
        shown = await (await ask(loopback)).until(has_pictures)
        while (await bot.app.ledger.counts())[State.DELIVERED] < 1:
            pass
        deletions = bot.app.homes["discord"]._deletions  # type: ignore[attr-defined]
        deletions.message(int(shown["id"]))
        deletions.message(1)  # somebody else's
    assert pictures(tmp_path) == []


async def test_what_people_write_is_not_even_read(
    loopback: LoopbackDiscord, run_bot: RunBot, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "discord.gateway")
    async with run_bot():
        await loopback.say("hello", user_id=BEN)
        await (await ask(loopback)).until(has_pictures)
    assert "Unknown event MESSAGE_CREATE" in caplog.text


@pytest.mark.parametrize("before", ["nothing", "lost", "lost and restarted"])
async def test_a_case_is_there_once(
    loopback: LoopbackDiscord, run_bot: RunBot, before: str
) -> None:
    """Also where the answer to it was lost, with the process that waited for it."""
    async with run_bot(doubtful, sleep=lambda _: asyncio.sleep(0)):
        await with_desk(loopback)
        if before != "nothing":
            route = f"/channels/{MOD_LOG}/messages"
            count = 1 if before == "lost" else None
            lost = Fault(kind="drop_after", method="POST", route=route, count=count)
            loopback.faults.add(lost)
        _, case = await held(loopback)
    loopback.faults.clear()
    loopback.timers.clock.advance(3_600)  # type: ignore[attr-defined]
    async with run_bot(doubtful):
        if before == "lost and restarted":
            case = await at_desk(loopback)
        await said(await press(loopback, case, "approve", MIA))
        await at_desk(loopback, lacks("approve"))
    assert len(loopback.history(MOD_LOG)) == 1


async def test_what_discord_gives_back_of_an_earlier_try_is_brought_up_to_date(
    loopback: LoopbackDiscord, run_bot: RunBot
) -> None:
    gate = Gate()
    loopback.world.channels[MOD_LOG].bot_permissions &= ~READ_MESSAGE_HISTORY
    async with run_bot(lambda: FakePipeline(SIZES, gate=gate)):
        await with_desk(loopback)
        await said(await admin(loopback, "filter add", term="crow", measure="warn"))
        route = f"/channels/{MOD_LOG}/messages"
        lost = loopback.faults.add(Fault(kind="drop_after", method="POST", route=route))
        asked = await ask(loopback, "a crow")
        await lost.wait_fired()
        gate.open()
        await asked.until(has_pictures)
        await at_desk(loopback, lambda message: len(files_of(message)) == 4)
    assert len(loopback.history(MOD_LOG)) == 1


async def test_a_desk_that_cannot_be_written_to_is_told_in_the_log_and_holds_nobody_up(
    loopback: LoopbackDiscord, run_bot: RunBot, caplog: pytest.LogCaptureFixture
) -> None:
    async with run_bot(lambda: doubtful(0.6)):
        await with_desk(loopback)
        await (await ask(loopback)).until(has_pictures)
        await at_desk(loopback)
        loopback.world.channels[MOD_LOG].bot_permissions &= ~SEND_MESSAGES
        await (await ask(loopback, "a hen")).until(has_pictures)
        while "name another with /imagine-admin desk" not in caplog.text:  # noqa: ASYNC110 - a log
            await asyncio.sleep(0.005)


async def test_a_case_that_a_moderator_deleted_stays_so(
    loopback: LoopbackDiscord, run_bot: RunBot, caplog: pytest.LogCaptureFixture
) -> None:
    async with run_bot(doubtful):
        await with_desk(loopback)
        asked, case = await held(loopback)
        await said(await press(loopback, case, "approve", MIA))
        await at_desk(loopback, lacks("approve"))
        loopback.delete(int(case["id"]), user_id=MIA)
        await asked.until(has_pictures)
        card = next(
            one for one in loopback.history(loopback.world.first_channel.id) if has_pictures(one)
        )
        used = await loopback.use_on_message(int(card["id"]), "Report", user_id=CLEO)
        await said(await loopback.submit(await used.dialog(), {}))
        reported = await at_desk(loopback, says("Pictures were reported"))
        await said(await press(loopback, reported, "veil", MIA))
        while "Somebody deleted its message there" not in caplog.text:  # noqa: ASYNC110 - a log
            await asyncio.sleep(0.005)


async def test_a_case_deleted_undecided_comes_back_with_the_next_report(
    loopback: LoopbackDiscord, run_bot: RunBot
) -> None:
    async with run_bot():
        await with_desk(loopback)
        shown = await (await ask(loopback)).until(has_pictures)

        async def report(user_id: int) -> None:
            used = await loopback.use_on_message(int(shown["id"]), "Report", user_id=user_id)
            await said(await loopback.submit(await used.dialog(), {}))

        await report(CLEO)
        case = await at_desk(loopback, says(f"Reported by <@{CLEO}>"))
        loopback.delete(int(case["id"]), user_id=MIA)
        await report(MIA)
        again = await at_desk(loopback, says(f"Reported by <@{MIA}>"))
        assert again["id"] != case["id"]
        assert kinds(again) == kinds(case)


async def test_the_desk_is_in_the_language_of_the_server(
    loopback: LoopbackDiscord, run_bot: RunBot
) -> None:
    """As Discord says it: a moderator's own language is for what they alone read."""
    loopback.world.people[MIA].locale = "de"
    async with run_bot(doubtful):
        await with_desk(loopback)
        _, case = await held(loopback)
        assert "Nobody has decided yet." in text_of(case)
        assert await said(await press(loopback, case, "approve", MIA)) != "Approved."


async def test_who_may_not_see_the_desk_cannot_press(
    loopback: LoopbackDiscord, run_bot: RunBot
) -> None:
    async with run_bot(doubtful):
        await with_desk(loopback)
        _, case = await held(loopback)
        del loopback.world.channels[MOD_LOG].overwrites[OLA]
        with pytest.raises(CommandRefused):
            await press(loopback, case, "approve", OLA)
