"""/imagine-admin in Slack over the wire: who may use it, what is typed, said and done."""

import asyncio
import csv
import io
import json

import pytest

from bot.homes.slack import render
from bot.homes.slack.manifest import manifest
from standins.base.faults import Fault, RestKind
from standins.slack.loopback import LoopbackSlack
from standins.slack.world import UserGroup
from tests.bot.conftest import SIZES, Bot, RunBot
from tests.bot.homes.discord.desk import filtering
from tests.bot.homes.slack.desk import (
    GUS,
    MOD_LOG,
    admin,
    answered,
    direct_messages,
    refused,
    said,
    sent_files,
    with_desk,
)
from tests.bot.homes.slack.test_running import (
    ADA,
    BEN,
    CLEO,
    GALLERY,
    IMAGINE,
    MIA,
    ask,
    has_pictures,
    says,
    seen,
)
from tests.fakes import FakePipeline

PAINTERS = "S0PAINTERS"
NOT_A_MANAGER = "Only those who manage this server"
NOT_A_MODERATOR = "Only those who moderate this server"
# Every command, and whether those who moderate may use it at their desk as well.
COMMANDS = {
    "policy spoiler=yes": False,
    "limits count=2": False,
    f"desk <#{MOD_LOG}|>": False,
    "pause lunch": False,
    "resume": False,
    "keep 3": False,
    "filter add crow": False,
    "filter list": False,
    "filter test a crow": False,
    "filter remove crow": False,
    f"block <@{CLEO}|cleo> 2 why": True,
    f"unblock <@{CLEO}|cleo>": True,
    f"purge 1 <@{CLEO}|cleo>": True,
    "audit": False,
    "export": False,
}
# Who, where, and which of them they may use.
RANKS = {
    "member": (BEN, IMAGINE, "none"),
    "guest": (GUS, IMAGINE, "none"),
    "moderator elsewhere": (MIA, IMAGINE, "none"),
    "moderator at the desk": (MIA, MOD_LOG, "the desk's"),
    "admin": (ADA, IMAGINE, "all"),
    "member who was made an admin": (CLEO, IMAGINE, "all"),
}


@pytest.fixture(autouse=True)
def people(slack: LoopbackSlack) -> None:
    """Another user group."""
    group = UserGroup(PAINTERS, "painters", "Painters", [BEN])
    slack.world.user_groups[PAINTERS] = group


async def warmed_up(bot: Bot) -> None:
    while bot.app.studio.model is None:  # noqa: ASYNC110 - the engine tells no one
        await asyncio.sleep(0.005)


@pytest.mark.parametrize("rank", RANKS)
async def test_who_may_use_what(slack: LoopbackSlack, run_slack: RunBot, rank: str) -> None:
    user, channel, may = RANKS[rank]
    slack.world.people[CLEO].is_admin = user == CLEO
    async with run_slack():
        await with_desk(slack)
        for text, also_desk in COMMANDS.items():
            if user == CLEO and also_desk:
                continue  # nobody blocks themselves
            if may == "all" or (may == "the desk's" and also_desk):
                await said(slack, text, user=user, channel=channel)
            else:
                words = NOT_A_MODERATOR if also_desk else NOT_A_MANAGER
                assert words in await refused(slack, text, user=user, channel=channel), text
        assert "/imagine-admin purge HOURS" in await said(slack, "help", user=user, channel=channel)


def test_slack_is_told_to_send_ids() -> None:
    (command,) = [
        one
        for one in manifest()["features"]["slash_commands"]
        if one["command"] == "/imagine-admin"
    ]
    assert command["should_escape"] is True


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("polcy", ("There is no “polcy”. Did you mean policy?", "`/imagine-admin help`")),
        ("policy use=maybe", ("use= is yes or no.", "`/imagine-admin policy [#channel]")),
        ("policy spoiler=", ("spoiler= needs something behind it.",)),
        ("policy spolier=yes", ("There is no “spolier”= here. Did you mean spoiler?",)),
        ("policy use=yes use=no", ("use= is said twice.",)),
        ("policy adult=yes", ("Slack knows no places for adults",)),
        ("policy #imagine use=no", ("Slack does not know “#imagine”.",)),
        ("policy hello", ("“hello” cannot be read here.",)),
        ("policy clear=count", ("“count” is nothing for clear=.", "There are: use, private")),
        ("policy <#C0A|a> <#C0B|b> use=no", ("one channel and one group at most",)),
        ("limits count=5", ("“5” is no whole number from 1 to 4.", "limits [#channel]")),
        ("limits daily=10001", ("“10001” is no whole number from 0 to 10000.",)),
        ("limits daily=٣", ("is no whole number",)),
        ("limits size=big", ("'big' is not a size.",)),
        ("limits models=dodle", ("Did you mean doodle?",)),
        ("limits loras=film,fim", ("Did you mean film?",)),
        ("keep soon", ("“soon” cannot be read here.", "keep [days | none]")),
        ("keep 1", ("kept for 2 days at least",)),
        ("keep 99999", ("no whole number from 1 to 3650",)),
        ("desk gallery", ("“gallery” cannot be read here.",)),
        ("desk <#C0ELSEWHERE|elsewhere>", ("The bot is not in this channel.",)),
        ("resume now", ("“now” cannot be read here.",)),
        ("filter", ("Say what to do with the list.", "filter add | remove | list | test")),
        ("filter drop crow", ("There is no “drop”.",)),
        ("filter add", ("Say the term.", "filter add TERM")),
        ("filter add crow measure=slap", ("“slap” is nothing for measure=.",)),
        ("filter add crow kind=", ("kind= needs something behind it.",)),
        ("filter add " + "x" * 201, ("longer than 200 characters",)),
        ("filter test", ("Say what somebody could ask for.",)),
        ("filter remove hen", ("no term “hen”",)),
        ("block cleo", ("Say whom, with @ and their name.", "block @somebody")),
        ("block @cleo", ("Slack does not know “@cleo”.",)),
        (f"block <@{CLEO}|cleo> 4000", ("no whole number from 1 to 3650",)),
        (f"block <@{ADA}|ada>", ("You cannot block yourself.",)),
        (f"block <@{CLEO}|cleo> " + "x" * 301, ("longer than 300 characters",)),
        ("purge", ("Say within how many hours.",)),
        ("purge 1", ("Say of whom, or in which channel.",)),
        ("purge 9000 everything", ("no whole number from 1 to 8760",)),
        ("audit last", ("“last” cannot be read here.",)),
        ("export xml", ("There is no “xml”. There are: csv, json.",)),
    ],
)
async def test_what_cannot_be_read_is_said_with_the_right_form(
    slack: LoopbackSlack, run_slack: RunBot, text: str, words: tuple[str, ...]
) -> None:
    pipeline = FakePipeline(SIZES, loras={"film": None}, models=("doodle", "sdxl"))
    async with run_slack(lambda: pipeline) as bot:
        await warmed_up(bot)
        answer = await refused(slack, text)
        for one in words:
            assert one in answer
        assert "Nothing was done yet" in await said(slack, "audit")


async def test_rules_are_shown_as_they_hold_and_who_says_so(
    slack: LoopbackSlack, run_slack: RunBot
) -> None:
    async with run_slack():
        text = await said(slack, "policy")
        assert text.splitlines()[0] == "*What holds here*: this server"
        assert "`use` yes · as the bot's owner has it" in text
        assert "adult" not in text
        await said(slack, "Policy  Spoiler = ON, review: no")
        await said(slack, f"policy <!subteam^{PAINTERS}|@painters> private=true")
        place = f"<#{IMAGINE}|imagine> <!subteam^{PAINTERS}>"
        text = await said(slack, f"policy use=yes {place}")
        assert f"<#{IMAGINE}> <!subteam^{PAINTERS}>" in text.splitlines()[0]
        assert "`use` yes · said here" in text
        assert "`private` yes · said of the role" in text
        assert "`spoiler` yes · said of the server" in text
        assert f"*There are rules for*: <!subteam^{PAINTERS}>" in text
        text = await said(slack, "policy clear=spoiler,review")
        assert "`spoiler` no · as the bot's owner has it" in text
        await ask(slack)
        await seen(slack, lambda m: has_pictures(m) and "viewer" in m, viewer=BEN)
        await said(slack, f"policy <#{IMAGINE}> use=no")
        await ask(slack, user=CLEO)
        await seen(slack, says("may not be used in this channel"), viewer=CLEO)


async def test_limits_bound_what_is_asked_for(slack: LoopbackSlack, run_slack: RunBot) -> None:
    pipeline = FakePipeline(SIZES, loras={"film": None}, models=("doodle", "sdxl"))
    async with run_slack(lambda: pipeline) as bot:
        await warmed_up(bot)
        text = await said(slack, "limits count=2 size=64x64 models=doodle, sdxl loras=none daily=9")
        assert "`models` `doodle, sdxl` · said here" in text
        assert "`loras` none · said here" in text
        assert "`daily` 9 · said here" in text
        text = await said(slack, f"limits <!subteam^{PAINTERS}> daily=0")
        assert "`daily` no limit · said here" in text
        text = await said(slack, "limits models=“doodle” clear=daily")
        assert "`models` `doodle` · said here" in text
        assert "`daily` no limit" in text
        for flags, words in (
            ("--count 3", "at most 2 pictures at once"),
            ("--size 128x64", "up to 64x64"),
            ("--model sdxl", "draw with doodle"),
            ("--lora film", "may not ask for LoRAs"),
        ):
            await ask(slack, f"a fox {flags}")
            await seen(slack, says(words), viewer=BEN)


async def test_rules_that_cannot_be_meant_are_refused_with_the_way_out(
    slack: LoopbackSlack, run_slack: RunBot
) -> None:
    async with run_slack():
        assert "pause the bot instead" in await refused(slack, "policy use=no")
        assert "as the desk" in await refused(slack, "policy review=yes")
        assert "have no desk. Name a channel" in await said(slack, "desk")
        seen_by_all = await said(slack, f"desk <#{GALLERY}|gallery>")
        assert f"Moderators decide in <#{GALLERY}> now. But everybody can see" in seen_by_all
        await with_desk(slack)
        await said(slack, "policy review=yes")
        assert await said(slack, "desk") == f"Moderators decide in <#{MOD_LOG}> now."
        needed = await refused(slack, "desk none")
        assert "by a rule for: this server. Take back the policy review" in needed
        await said(slack, "policy clear=review")
        assert "no desk now" in await said(slack, "desk none")


async def test_a_pause_says_why_and_ends(slack: LoopbackSlack, run_slack: RunBot) -> None:
    async with run_slack():
        await said(slack, "pause lunch = at &lt;noon&gt;")
        await ask(slack)
        await seen(slack, says("lunch = at &lt;noon&gt;"), viewer=BEN)
        assert "People read: “lunch = at &lt;noon&gt;”." in await said(slack, "pause")
        await said(slack, "RESUME")
        await ask(slack)
        await seen(slack, has_pictures)


async def test_how_long_jobs_are_kept(slack: LoopbackSlack, run_slack: RunBot) -> None:
    async with run_slack():
        assert await said(slack, "keep 3 days") == "Jobs are kept for 3 days."
        assert await said(slack, "keep") == "Jobs are kept for 3 days."
        assert await said(slack, "keep none") == (
            "Jobs are kept for 30 days, as the bot's owner has it."
        )
        assert "owner keeps jobs for 30 days" in await refused(slack, "keep 31")


async def test_the_own_list_is_kept_sent_and_tried_out(
    slack: LoopbackSlack, run_slack: RunBot
) -> None:
    async with run_slack() as bot:
        filtering(bot)
        assert "0 terms" in await said(slack, "filter list")
        assert direct_messages(slack, ADA) == []
        added = await said(slack, 'filter add category=birds "crow &amp; co" measure=review')
        assert added == "Added: “crow &amp; co”. The list here has 1 term."
        listed = await said(slack, "filter list")
        assert "has 1 term. It is in the bot's direct messages to you." in listed
        assert await sent_files(slack, ADA) == {
            "terms.txt": "review · word · birds · crow & co".encode()
        }
        tried = await said(slack, "filter test a crow &amp; co")
        assert tried == "*a moderator looks first* · birds, in the prompt: crow &amp; co"
        assert "finds nothing" in await said(slack, "filter test a hen")
        assert "0 terms" in await said(slack, "filter remove crow &amp; co")


async def test_who_is_blocked_asks_for_nothing_until_unblocked(
    slack: LoopbackSlack, run_slack: RunBot
) -> None:
    async with run_slack():
        await with_desk(slack)
        at_desk = {"user": MIA, "channel": MOD_LOG}
        answer = await said(
            slack, f"block <@{BEN}|ben> 2 days too many <#{GALLERY}|foxes>", **at_desk
        )
        assert answer == f"<@{BEN}> may not ask here for 2 days."
        await ask(slack)
        await seen(slack, says("too many foxes"), viewer=BEN)
        await said(slack, f"unblock <@{BEN}|ben>", **at_desk)
        await ask(slack)
        await seen(slack, has_pictures)


async def test_a_bot_is_not_blocked(slack: LoopbackSlack, run_slack: RunBot) -> None:
    async with run_slack():
        answer = await refused(slack, f"block <@{slack.world.bot_user_id}|imagine>")
        assert "A bot asks for no pictures" in answer
        assert "Nothing was done yet" in await said(slack, "audit")


async def test_a_purge_takes_what_is_shown_and_what_is_in_threads(
    slack: LoopbackSlack, run_slack: RunBot
) -> None:
    async with run_slack():
        root = await slack.say("look", user=BEN, channel=IMAGINE)
        await slack.say(
            f"<@{slack.world.bot_user_id}> a fox", user=BEN, channel=IMAGINE, thread_ts=root["ts"]
        )
        await seen(slack, has_pictures)
        await ask(slack, user=CLEO)
        await seen(slack, has_pictures, past=2)
        await ask(slack, user=CLEO, channel=GALLERY)
        kept = await seen(slack, has_pictures, channel=GALLERY)
        assert "of 2 jobs " in await said(slack, f"purge 1h <#{IMAGINE}|imagine> spam")
        await slack.until(lambda: not any(map(has_pictures, slack.history(IMAGINE))))
        assert has_pictures(slack.message(GALLERY, kept["ts"]))
        for place in (f"<#{GALLERY}> <@{CLEO}>", f"<@{BEN}|ben> <#{GALLERY}|gallery>"):
            count = 1 if CLEO in place else 0
            assert f"of {count} job" in await said(slack, f"purge 1 {place}")


async def test_the_audit_is_read_page_by_page_and_taken_away(
    slack: LoopbackSlack, run_slack: RunBot
) -> None:
    async with run_slack():
        await said(slack, f"policy <!subteam^{PAINTERS}|@painters> spoiler=yes")
        await said(slack, f"block <@{CLEO}|cleo> 2 =1+1 *x* `y` &lt;!channel&gt;")
        await said(slack, f"policy <#{IMAGINE}|imagine> private=yes")
        await with_desk(slack)
        lines = (await said(slack, "audit")).splitlines()
        assert lines[0].startswith("`4` <!date^")
        assert f"named the desk · desk none → <#{MOD_LOG}>" in lines[0]
        assert f"<@{ADA}>: changed rules <#{IMAGINE}> · `private` yes" in lines[1]
        reason = "`=1+1 *x* \u02cby\u02cb &lt;!channel&gt;`"  # no code ends in it
        assert f"blocked <@{CLEO}> · {reason} · until <!date^" in lines[2]
        assert f"changed rules <!subteam^{PAINTERS}> · `spoiler` yes" in lines[3]
        assert (await said(slack, "audit 2")).splitlines() == lines[3:]
        assert "Nothing was done before that" in await said(slack, "audit 1")
        told = await said(slack, "export")
        assert told == "5 entries. It is in the bot's direct messages to you."
        ((name, data),) = (await sent_files(slack, ADA)).items()
        rows = list(csv.DictReader(io.StringIO(data.decode())))
        assert name == "audit.csv"
        assert [row["kind"] for row in rows] == ["export", "desk", "rules", "block", "rules"]
        await said(slack, "export JSON")
        entries = json.loads((await sent_files(slack, ADA, past=1))["audit.json"])
        assert [one["number"] for one in entries] == [6, 5, 4, 3, 2, 1]
        for user in (BEN, MIA):
            assert direct_messages(slack, user) == []


async def test_twenty_long_entries_fit(slack: LoopbackSlack, run_slack: RunBot) -> None:
    async with run_slack():
        for days in range(1, 24):
            await said(slack, f"block <@{CLEO}> {days} " + "&amp;*" * 100)
        invocation = await admin(slack, "audit")
        lines = (await answered(slack, invocation)).splitlines()
    assert len(lines) == 20
    assert all(line.endswith("…") or "until" in line for line in lines)


@pytest.mark.parametrize("kind", ["drop_before", "drop_after", "status", "rate_limit"])
@pytest.mark.parametrize(
    "method",
    ["conversations.open", "files.getUploadURLExternal", "files.completeUploadExternal"],
)
async def test_whatever_a_call_comes_to_a_file_is_there_once(
    slack: LoopbackSlack, run_slack: RunBot, method: str, kind: RestKind
) -> None:
    fault = slack.faults.add(Fault(kind=kind, route=f"/{method}"))
    async with run_slack():
        assert "direct messages to you" in await said(slack, "export")
        assert list(await sent_files(slack, ADA)) == ["audit.csv"]
    assert fault.fired == 1
    assert len(direct_messages(slack, ADA)) == 1


async def test_a_file_that_slack_does_not_take_is_said(
    slack: LoopbackSlack, run_slack: RunBot
) -> None:
    slack.world.max_file_bytes = 10
    async with run_slack():
        assert "Slack did not take the file" in await refused(slack, "export")


async def test_a_card_that_others_answered_is_deleted_by_a_moderator_of_its_channel(
    slack: LoopbackSlack, run_slack: RunBot
) -> None:
    """Slack says of it that it is in its own thread."""
    async with run_slack():
        await ask(slack)
        shown = await seen(slack, has_pictures)
        await slack.say("nice", user=CLEO, channel=IMAGINE, thread_ts=shown["ts"])
        await slack.press(shown, "v1:reroll", user=CLEO)
        again = await seen(slack, has_pictures, past=2)
        assert "thread_ts" not in again
        await slack.press(shown, "v1:delete", user=MIA)
        await seen(slack, says("Deleted by a moderator"))
        assert not render.files_of(slack.message(IMAGINE, shown["ts"]))
