"""/imagine-admin over the wire: who may use it, what each command says and does."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest

from bot.core.verdict import Term
from standins.discord.components import files_of, text_of
from standins.discord.errors import CommandRefused
from standins.discord.forms import Upload
from standins.discord.interactions import Interaction
from standins.discord.loopback import LoopbackDiscord
from standins.discord.world import ATTACH_FILES, Channel
from tests.bot.conftest import SIZES, RunBot
from tests.bot.homes.discord.desk import (
    EVERY_RANK,
    GALLERY,
    MIA,
    MOD_LOG,
    admin,
    filtering,
    refused,
    said,
    set_up,
    with_desk,
)
from tests.bot.homes.discord.test_faults import has_pictures
from tests.bot.homes.discord.test_jobs_in_the_channel import ADA, BEN, CLEO, PAINTERS, says
from tests.fakes import FakePipeline

Message = dict[str, Any]

IMAGINE = 900_000_000_000_000_301
THREAD = 900_000_000_000_000_390
NOT_A_MANAGER = "Only those who manage this server"
NOT_A_MODERATOR = "Only those who moderate this server"
# Every command, and whether those who moderate at the desk may use it as well.
COMMANDS: dict[str, tuple[dict[str, object], bool]] = {
    "policy": ({"spoiler": True}, False),
    "limits": ({"count": 2}, False),
    "desk": ({"channel": MOD_LOG}, False),
    "pause": ({"reason": "lunch"}, False),
    "resume": ({}, False),
    "keep": ({"days": 3}, False),
    "filter add": ({"term": "crow"}, False),
    "filter list": ({}, False),
    "filter test": ({"text": "a crow"}, False),
    "filter remove": ({"term": "crow"}, False),
    "block": ({"person": CLEO, "days": 2, "reason": "why"}, True),
    "unblock": ({"person": CLEO}, True),
    "purge": ({"hours": 1, "person": CLEO}, True),
    "audit": ({}, False),
    "export": ({}, False),
}


@pytest.fixture(autouse=True)
def people(loopback: LoopbackDiscord) -> None:
    """A desk's channel and people of every rank."""
    set_up(loopback)


async def ask(loopback: LoopbackDiscord, **options: object) -> Interaction:
    return await loopback.slash("imagine", {"prompt": "x", **options}, user_id=BEN)


def names_of(node: Message, path: str = "") -> set[str]:
    """The subcommands of a command as it was registered."""
    inner = [one for one in node.get("options", []) if one["type"] in {1, 2}]
    found = {f"{path}{one['name']}" for one in inner if one["type"] == 1}
    for one in inner:
        found |= names_of(one, f"{path}{one['name']} ")
    return found


@pytest.mark.parametrize("rank", EVERY_RANK)
async def test_who_may_use_what(loopback: LoopbackDiscord, run_bot: RunBot, rank: str) -> None:
    """Discord offers it to managers alone, unless a server says otherwise: then the bot decides."""
    who = EVERY_RANK[rank]
    async with run_bot():
        await with_desk(loopback)
        (command,) = [one for one in loopback.commands() if one["name"] == "imagine-admin"]
        assert names_of(command) == set(COMMANDS)
        assert command["contexts"] == [0]
        if rank not in {"manager", "owner"}:
            with pytest.raises(CommandRefused):
                await admin(loopback, "audit", user_id=who)
        command["default_member_permissions"] = None
        for one in loopback.registry.all():
            if one["name"] == "imagine-admin":
                one["default_member_permissions"] = None
        for name, (options, also_desk) in COMMANDS.items():
            asked = await loopback.slash(
                f"imagine-admin {name}", options, user_id=who, channel_id=MOD_LOG
            )
            if rank in {"manager", "owner"} or (also_desk and rank == "moderator"):
                await said(asked)
            else:
                words = NOT_A_MODERATOR if also_desk else NOT_A_MANAGER
                assert words in await refused(asked), name


async def test_rules_are_shown_as_they_hold_and_who_says_so(
    loopback: LoopbackDiscord, run_bot: RunBot
) -> None:
    async with run_bot():
        text = await said(await admin(loopback, "policy"))
        assert "`use` yes · as the bot's owner has it" in text
        await said(await admin(loopback, "policy", spoiler=True))
        await said(await admin(loopback, "policy", role=PAINTERS, private=True))
        text = await said(await admin(loopback, "policy", channel=IMAGINE, role=PAINTERS, use=True))
        assert f"<#{IMAGINE}> <@&{PAINTERS}>" in text.splitlines()[0]
        assert "`use` yes · said here" in text
        assert "`private` yes · said of the role" in text
        assert "`spoiler` yes · said of the server" in text
        assert f"**There are rules for**: <@&{PAINTERS}>" in text
        text = await said(await admin(loopback, "policy", take_back="spoiler"))
        assert "`spoiler` no · as the bot's owner has it" in text


async def test_limits_bound_what_is_asked_for(loopback: LoopbackDiscord, run_bot: RunBot) -> None:
    pipeline = FakePipeline(SIZES, loras={"film": None}, models=("doodle", "sdxl"))
    async with run_bot(lambda: pipeline):
        text = await said(
            await admin(loopback, "limits", count=2, size="64x64", models="doodle", loras="none")
        )
        assert "`count` 2 · said here" in text
        assert "`size` 64x64 · said here" in text
        assert "`models` `doodle` · said here" in text
        assert "`loras` none · said here" in text
        assert "`daily` no limit" in text
        text = await said(await admin(loopback, "limits", role=PAINTERS, daily=0))
        assert "`daily` no limit · said here" in text
        for options, words in (
            ({"count": 3}, "at most 2 pictures at once"),
            ({"size": "128x64"}, "up to 64x64"),
            ({"model": "sdxl"}, "draw with doodle"),
            ({"lora": "film"}, "may not ask for LoRAs"),
        ):
            assert words in await refused(await ask(loopback, **options))
        unknown = await admin(loopback, "limits", models="dodle")
        assert "Did you mean doodle?" in await refused(unknown)
        unknown = await admin(loopback, "limits", loras="film, fim")
        assert "Did you mean film?" in await refused(unknown)
        assert "one model at least" in await refused(await admin(loopback, "limits", models=" ,"))
        offered = await loopback.complete(
            "imagine-admin limits", {"models": "doodle, s"}, "models", user_id=ADA
        )
        assert [one["value"] for one in offered] == ["doodle, sdxl"]
        offered = await loopback.complete(
            "imagine-admin limits", {"loras": "f"}, "loras", user_id=ADA
        )
        assert [one["value"] for one in offered] == ["film"]


async def test_a_thread_counts_by_its_channel(loopback: LoopbackDiscord, run_bot: RunBot) -> None:
    loopback.change_channel(Channel(THREAD, "talk", kind=11, parent_id=IMAGINE))
    async with run_bot():
        await said(await admin(loopback, "policy", channel=IMAGINE, use=False))
        text = await said(await admin(loopback, "policy", channel=THREAD))
        assert "`use` no · said of the thread's channel" in text
        for place in (IMAGINE, THREAD):
            asked = await loopback.slash("imagine", {"prompt": "x"}, user_id=BEN, channel_id=place)
            assert "may not be used in this channel" in await refused(asked)
        asked = await loopback.slash("imagine", {"prompt": "x"}, user_id=BEN, channel_id=GALLERY)
        await asked.until(has_pictures)


async def test_rules_that_cannot_be_meant_are_refused_with_the_way_out(
    loopback: LoopbackDiscord, run_bot: RunBot
) -> None:
    async with run_bot():
        nobody = await refused(await admin(loopback, "policy", use=False))
        assert "pause the bot instead" in nobody
        everyone = loopback.world.guild_id  # Discord's role of that name has the server's id
        nobody = await refused(await admin(loopback, "policy", role=everyone, use=False))
        assert "pause the bot instead" in nobody
        text = await said(await admin(loopback, "policy", role=everyone, spoiler=True))
        assert text.splitlines()[0] == "**What holds here**: this server"
        assert "as the desk" in await refused(await admin(loopback, "policy", review=True))
        adult = await refused(await admin(loopback, "policy", channel=IMAGINE, adult=True))
        assert "the channel's settings first" in adult
        loopback.change_channel(loopback.world.channels[IMAGINE], nsfw=True)
        text = await said(await admin(loopback, "policy", channel=IMAGINE, adult=True))
        assert "`adult` yes · said here" in text
        await with_desk(loopback)
        await said(await admin(loopback, "policy", review=True))
        assert "Moderators decide in" in await said(await admin(loopback, "desk"))
        await said(await admin(loopback, "policy", channel=IMAGINE, role=PAINTERS, review=True))
        needed = await refused(await admin(loopback, "desk", take_back=True))
        assert f"a rule for: this server and <@&{PAINTERS}> in <#{IMAGINE}>." in needed
        await said(await admin(loopback, "policy", take_back="review"))
        await said(
            await admin(loopback, "policy", channel=IMAGINE, role=PAINTERS, take_back="review")
        )
        assert "no desk now" in await said(await admin(loopback, "desk", take_back=True))
        assert "Name a channel" in await said(await admin(loopback, "desk"))
        neither = await refused(await admin(loopback, "purge", hours=1))
        assert "of whom, or in which channel" in neither


async def test_a_desk_where_the_bot_cannot_write_is_refused(
    loopback: LoopbackDiscord, run_bot: RunBot
) -> None:
    loopback.world.channels[MOD_LOG].bot_permissions &= ~ATTACH_FILES
    async with run_bot():
        assert "Attach Files" in await refused(await admin(loopback, "desk", channel=MOD_LOG))


async def test_a_pause_says_why_and_ends(loopback: LoopbackDiscord, run_bot: RunBot) -> None:
    async with run_bot():
        await said(await admin(loopback, "pause", reason="lunch"))
        assert "lunch" in await refused(await ask(loopback))
        assert "People read: “lunch”." in await said(await admin(loopback, "pause"))
        await said(await admin(loopback, "resume"))
        await (await ask(loopback)).until(has_pictures)


async def test_the_servers_own_list_is_kept_shown_and_tried_out(
    loopback: LoopbackDiscord, run_bot: RunBot
) -> None:
    async with run_bot() as bot:
        filtering(bot)
        assert "0 terms" in await said(await admin(loopback, "filter list"))
        added = await admin(loopback, "filter add", term="crow", measure="review", category="birds")
        assert await said(added) == "Added: “crow”. The list here has 1 term."
        listed = await (await admin(loopback, "filter list")).until(says("1 term"))
        (file,) = files_of(listed)
        assert loopback.attachment_bytes(int(file["id"])) == "review · word · birds · crow".encode()
        tried = await said(await admin(loopback, "filter test", text="a crow"))
        assert "**a moderator looks first** · birds, in the prompt: crow" in tried
        assert "finds nothing" in await said(await admin(loopback, "filter test", text="a hen"))
        assert "two letters" in await refused(await admin(loopback, "filter add", term="c"))
        offered = await loopback.complete(
            "imagine-admin filter remove", {"term": "ro"}, "term", user_id=ADA
        )
        assert [one["value"] for one in offered] == ["crow"]
        assert "no term “hen”" in await refused(await admin(loopback, "filter remove", term="hen"))
        assert "0 terms" in await said(await admin(loopback, "filter remove", term="crow"))


async def test_a_purge_takes_what_is_shown(
    loopback: LoopbackDiscord, run_bot: RunBot, tmp_path: Path
) -> None:
    async with run_bot():
        shown = await (await ask(loopback)).until(has_pictures)
        while "of 1 job " not in await said(await admin(loopback, "purge", hours=1, person=BEN)):
            pass
        while files_of(card(loopback, int(shown["id"]))):
            await said(await admin(loopback, "keep"))
    assert [one for one in (tmp_path / "data" / "images").rglob("*") if one.is_file()] == []


def card(loopback: LoopbackDiscord, message_id: int) -> Message:
    history = loopback.history(loopback.world.first_channel.id)
    return next(one for one in history if int(one["id"]) == message_id)


async def test_a_purge_of_a_channel_takes_its_threads(
    loopback: LoopbackDiscord, run_bot: RunBot
) -> None:
    loopback.change_channel(Channel(THREAD, "talk", kind=11, parent_id=IMAGINE))
    async with run_bot():
        for place in (IMAGINE, THREAD, GALLERY):
            asked = await loopback.slash("imagine", {"prompt": "x"}, user_id=BEN, channel_id=place)
            await asked.until(has_pictures)
        purge = await admin(loopback, "purge", hours=1, channel=IMAGINE)
        assert "of 2 jobs " in await said(purge)


async def test_what_is_said_again_is_no_change(loopback: LoopbackDiscord, run_bot: RunBot) -> None:
    async with run_bot():
        for _ in range(2):
            await said(await admin(loopback, "resume"))
            await said(await admin(loopback, "keep", days=3))
            await said(await admin(loopback, "policy", spoiler=True))
        lines = (await said(await admin(loopback, "audit"))).splitlines()
        assert len(lines) == 2
        assert lines[0].endswith("changed rules · `spoiler` yes")
        assert lines[1].endswith(
            "changed how long jobs are kept · days as the bot's owner has it → `3`"
        )


async def test_the_audit_is_read_page_by_page_and_taken_away(
    loopback: LoopbackDiscord, run_bot: RunBot
) -> None:
    async with run_bot():
        await said(await admin(loopback, "policy", role=PAINTERS, spoiler=True))
        await said(
            await admin(loopback, "block", person=CLEO, days=2, reason="=1+1 **x** @everyone")
        )
        await said(await admin(loopback, "policy", channel=IMAGINE, private=True))
        lines = (await said(await admin(loopback, "audit"))).splitlines()
        assert lines[0].startswith("`3` <t:")
        assert f"<@{ADA}>: changed rules <#{IMAGINE}> · `private` yes" in lines[0]
        assert f"blocked <@{CLEO}> · `=1+1 **x** @everyone` · until <t:" in lines[1]
        assert f"changed rules <@&{PAINTERS}> · `spoiler` yes" in lines[2]
        earlier = await said(await admin(loopback, "audit", before=2))
        assert earlier.splitlines() == lines[2:]
        assert "Nothing was done before that" in await said(
            await admin(loopback, "audit", before=1)
        )
        for form in ("csv", "json"):
            asked = await admin(loopback, "export", format=form)
            exported = await asked.until(lambda one: bool(files_of(one)))
            assert exported["flags"] & 64
            (file,) = files_of(exported)
            text = loopback.attachment_bytes(int(file["id"])).decode()
            if form == "csv":
                rows = list(csv.DictReader(io.StringIO(text)))
                assert [row["kind"] for row in rows] == ["export", "rules", "block", "rules"]
                assert rows[2]["reason"] == "'=1+1 **x** @everyone"
            else:
                assert [one["number"] for one in json.loads(text)] == [5, 4, 3, 2, 1]


async def test_a_bot_is_not_blocked(loopback: LoopbackDiscord, run_bot: RunBot) -> None:
    async with run_bot():
        blocked = await admin(loopback, "block", person=loopback.world.bot.id)
        assert "A bot asks for no pictures" in await refused(blocked)
        assert "Nothing was done yet" in await said(await admin(loopback, "audit"))


async def test_twenty_long_entries_fit(loopback: LoopbackDiscord, run_bot: RunBot) -> None:
    async with run_bot():
        for days in range(1, 24):
            await said(await admin(loopback, "block", person=CLEO, days=days, reason="w*" * 150))
        lines = (await said(await admin(loopback, "audit"))).splitlines()
    assert len(lines) == 20
    assert sum(map(len, lines)) < 4_000


async def test_what_the_filter_blocks_is_not_read_out_of_files(
    loopback: LoopbackDiscord, run_bot: RunBot
) -> None:
    async with run_bot() as bot:
        asked = await ask(loopback, seed=5)
        shown = await asked.until(has_pictures)
        data = loopback.attachment_bytes(int(files_of(shown)[0]["id"]))
        told = await loopback.slash(
            "recipe", {"image": Upload("a.png", "image/png", data)}, user_id=BEN
        )
        assert "prompt:x" in text_of(await told.until(says("/imagine")))
        filtering(bot).terms.append(Term("x"))
        told = await loopback.slash(
            "recipe", {"image": Upload("a.png", "image/png", data)}, user_id=BEN
        )
        assert "does not let people read" in await refused(told)
        theirs = await loopback.say("", Upload("a.png", "image/png", data), user_id=BEN)
        told = await loopback.use_on_message(int(theirs["id"]), "Recipe", user_id=MIA)
        assert "does not let people read" in await refused(told)
