"""Pictures wherever people are: threads, forums, direct messages, servers without the bot."""

import asyncio
import io
from dataclasses import replace
from typing import Any

import discord
import pytest
from PIL import Image

from bot.config.sections import Config, DiscordConfig, LimitsConfig
from bot.core.job import State
from standins.base.faults import Fault
from standins.base.timers import ManualClock
from standins.discord.components import pressable, text_of
from standins.discord.errors import CommandRefused
from standins.discord.forms import Upload
from standins.discord.interactions import Interaction
from standins.discord.loopback import LoopbackDiscord
from standins.discord.world import (
    ATTACH_FILES,
    DM,
    FORUM,
    GROUP_DM,
    MANAGE_THREADS,
    PRIVATE_THREAD,
    PUBLIC_THREAD,
    SEND_MESSAGES,
    SEND_MESSAGES_IN_THREADS,
    USE_EXTERNAL_APPS,
    VIEW_CHANNEL,
    Channel,
)
from tests.bot.conftest import SIZES, RunBot, make_config
from tests.bot.homes.discord.test_faults import has_pictures, told
from tests.bot.homes.discord.test_jobs_in_the_channel import ADA, BEN, custom_ids, says, whispered
from tests.bot.homes.discord.test_running import check_unseen, count
from tests.fakes import FakePipeline, Gate
from tests.standins.discord.people import PAINTERS

Message = dict[str, Any]

EPHEMERAL = 1 << 6
TEXT = 900_000_000_000_000_301
THREAD, FORUM_ID, POST, BOT_DM, OTHER_DM, GROUP, STRANGE, PRIVATE = range(501, 509)
BY_TOKEN_ALONE = (OTHER_DM, GROUP, STRANGE, PRIVATE)
EVERYWHERE = DiscordConfig(contexts=("server", "dm", "private"), installs=("server", "user"))


@pytest.fixture(autouse=True)
def places(loopback: LoopbackDiscord) -> dict[int, Channel]:
    """One of each; Ben has the application for himself."""
    world = loopback.world
    found = [
        Channel(THREAD, "thread", kind=PUBLIC_THREAD, parent_id=TEXT),
        Channel(PRIVATE, "between us", kind=PRIVATE_THREAD, parent_id=TEXT, member_ids=(BEN,)),
        Channel(FORUM_ID, "forum", kind=FORUM),
        Channel(POST, "post", kind=PUBLIC_THREAD, parent_id=FORUM_ID),
        Channel(BOT_DM, "", kind=DM, member_ids=(BEN, world.bot.id)),
        Channel(OTHER_DM, "", kind=DM, member_ids=(BEN, ADA)),
        Channel(GROUP, "us", kind=GROUP_DM, member_ids=(BEN, ADA)),
        Channel(STRANGE, "strange", guild_id=8_000),
    ]
    world.channels |= {channel.id: channel for channel in found}
    world.strange_guild_ids.add(8_000)
    world.people[BEN].has_installed = True
    return world.channels


def everywhere(**more: Any) -> Config:
    return replace(make_config(**more), discord=EVERYWHERE)


async def ask(loopback: LoopbackDiscord, place: int, **options: object) -> Interaction:
    said = {"prompt": "x", **options}
    return await loopback.slash("imagine", said, user_id=BEN, channel_id=place)


def button(message: Message, kind: str) -> str:
    return next(one for one in custom_ids(message) if one.startswith(f"v1:{kind}:"))


async def refusal(interaction: Interaction, words: str) -> Message:
    message = await interaction.until(says(words))
    assert message["flags"] & EPHEMERAL
    return message


@pytest.mark.parametrize("place", [TEXT, THREAD, POST, BOT_DM, *BY_TOKEN_ALONE])
async def test_pictures_come_everywhere_and_do_what_they_do(
    loopback: LoopbackDiscord, run_bot: RunBot, place: int
) -> None:
    async with run_bot(config=everywhere()):
        asked = await ask(loopback, place, tell_me=True)
        card = await asked.until(has_pictures)
        assert not card["flags"] & EPHEMERAL
        # Somebody is told once, by whichever way there is.
        while not (pings := [one for one in loopback.history(place) if one["mentions"]]):  # noqa: ASYNC110 - a message has no event for it
            await asyncio.sleep(0.01)
        assert text_of(pings[0]) == f"<@{BEN}> Your pictures are there."
        assert len(pings) == 1
        assert len(asked.followups) <= 1
    async with run_bot(config=everywhere()):  # what stands below works after a restart
        looking = await loopback.press(int(card["id"]), button(card, "open"), user_id=BEN)
        seen = await looking.until(has_pictures)
        assert seen["flags"] & EPHEMERAL
        again = await loopback.press(int(card["id"]), button(card, "reroll"), user_id=BEN)
        other = await again.until(has_pictures)
        assert other["id"] != card["id"]
        await loopback.press(int(card["id"]), button(card, "delete"), user_id=BEN)
        await asked.until(says("Deleted by the one who asked."))
        listing = await loopback.slash("jobs", {}, user_id=BEN, channel_id=place)
        assert (await listing.until(says("delivered")))["flags"] & EPHEMERAL


@pytest.mark.parametrize("place", [THREAD, BOT_DM, OTHER_DM, STRANGE])
async def test_a_draft_is_published_wherever_it_was_made(
    loopback: LoopbackDiscord, run_bot: RunBot, place: int
) -> None:
    async with run_bot(config=everywhere()):
        asked = await ask(loopback, place, private=True)
        draft = await asked.until(has_pictures)
        assert draft["flags"] & EPHEMERAL
        assert loopback.history(place) == []
        press = await loopback.press(int(draft["id"]), button(draft, "publish"), user_id=BEN)
        card = await press.until(has_pictures)
        assert [one["id"] for one in loopback.history(place)] == [card["id"]]


@pytest.mark.parametrize("place", [BOT_DM, OTHER_DM, STRANGE])
async def test_a_restart_in_between_costs_nothing(
    loopback: LoopbackDiscord, run_bot: RunBot, place: int
) -> None:
    gate = Gate()
    config = everywhere(grace_s=0)
    async with run_bot(lambda: FakePipeline(SIZES, gate=gate), config=config) as bot:
        asked = await ask(loopback, place)
        await asked.until(says("step 0"))
        bot.stop.set()
        await asked.until(says("restarting"))
        gate.open()
    async with run_bot(config=config):
        await asked.until(has_pictures)


@pytest.mark.parametrize("place", BY_TOKEN_ALONE)
async def test_pictures_that_come_too_late_for_the_token_are_kept_for_the_list(
    loopback: LoopbackDiscord, run_bot: RunBot, clock: ManualClock, place: int
) -> None:
    gate = Gate()
    async with run_bot(lambda: FakePipeline(SIZES, gate=gate), config=everywhere()) as bot:
        asked = await ask(loopback, place)
        await asked.until(says("step 0"))
        clock.advance(15 * 60)
        gate.open()
        record = await told(bot)
        assert record.state is State.UNDELIVERED
        assert "/jobs still has the pictures" in record.reason
        listing = await loopback.slash("jobs", {}, user_id=BEN, channel_id=place)
        shown = await listing.until(lambda message: bool(pressable(message)))
        press = await loopback.press(int(shown["id"]), button(shown, "show"), user_id=BEN)
        assert (await press.until(has_pictures))["flags"] & EPHEMERAL


async def test_direct_messages_with_the_bot_outlive_the_token(
    loopback: LoopbackDiscord, run_bot: RunBot, clock: ManualClock
) -> None:
    gate = Gate()
    async with run_bot(lambda: FakePipeline(SIZES, gate=gate), config=everywhere()):
        asked = await ask(loopback, BOT_DM)
        await asked.until(says("step 0"))
        clock.advance(15 * 60)
        gate.open()
        await asked.until(has_pictures)


async def test_a_server_that_keeps_such_answers_to_one_shows_the_pictures_to_that_one(
    loopback: LoopbackDiscord, run_bot: RunBot
) -> None:
    world = loopback.world
    world.roles[world.guild_id].permissions &= ~USE_EXTERNAL_APPS
    async with run_bot(config=everywhere()):
        asked = await ask(loopback, STRANGE)
        card = await asked.until(has_pictures)
        assert card["flags"] & EPHEMERAL
        again = await loopback.press(int(card["id"]), button(card, "reroll"), user_id=BEN)
        assert (await again.until(has_pictures))["flags"] & EPHEMERAL
        await loopback.press(int(card["id"]), button(card, "delete"), user_id=BEN)
        await asked.until(says("Deleted by the one who asked."))
        assert loopback.history(STRANGE) == []


@pytest.mark.parametrize(
    ("place", "missing", "words"),
    [
        (TEXT, ATTACH_FILES, "lacks Attach Files. Ask a moderator"),
        (TEXT, SEND_MESSAGES, "lacks Send Messages. Ask"),
        (TEXT, VIEW_CHANNEL | ATTACH_FILES, "lacks Attach Files and View Channel. Ask"),
        (THREAD, SEND_MESSAGES_IN_THREADS, "lacks Send Messages in Threads. Ask"),
        (POST, ATTACH_FILES, "lacks Attach Files. Ask"),
        (STRANGE, ATTACH_FILES, "lacks Attach Files. Ask"),
    ],
)
async def test_what_the_bot_lacks_is_told_before_anything_is_drawn(
    loopback: LoopbackDiscord, run_bot: RunBot, place: int, missing: int, words: str
) -> None:
    pipeline = FakePipeline(SIZES)
    async with run_bot(lambda: pipeline, config=everywhere()) as bot:
        card = await (await ask(loopback, place)).until(has_pictures)
        drawn = len(pipeline.requests)
        loopback.world.take_from_bot(missing)
        loopback.world.roles[PAINTERS].permissions |= VIEW_CHANNEL  # Ben keeps what all lost
        said = await refusal(await ask(loopback, place), words)
        assert "/imagine prompt:x" in text_of(said)
        check_unseen(loopback, said)
        press = await loopback.press(int(card["id"]), button(card, "reroll"), user_id=BEN)
        await refusal(press, words)
        assert len(pipeline.requests) == drawn
        assert len(await bot.app.ledger.find(limit=9)) == 1


async def test_a_thread_does_not_ask_for_what_only_its_channel_needs(
    loopback: LoopbackDiscord, run_bot: RunBot
) -> None:
    loopback.world.take_from_bot(SEND_MESSAGES)
    async with run_bot(config=everywhere()):
        await (await ask(loopback, THREAD)).until(has_pictures)


async def test_a_locked_thread_is_told_of_before_anything_is_drawn(
    loopback: LoopbackDiscord, run_bot: RunBot, places: dict[int, Channel]
) -> None:
    world = loopback.world
    async with run_bot(config=everywhere()):
        loopback.change_channel(places[THREAD], locked=True)
        # Who manages threads may write there; the bot may not.
        locked = await loopback.slash("imagine", {"prompt": "x"}, user_id=ADA, channel_id=THREAD)
        await refusal(locked, "This thread is locked. Ask a moderator to unlock it")
        world.roles[world.bot.role_ids[0]].permissions |= MANAGE_THREADS
        taken = await loopback.slash("imagine", {"prompt": "x"}, user_id=ADA, channel_id=THREAD)
        await taken.until(has_pictures)


@pytest.mark.parametrize("change", ["archived", "locked"])
async def test_a_thread_that_is_closed_meanwhile_leaves_the_pictures_to_the_list(
    loopback: LoopbackDiscord, run_bot: RunBot, places: dict[int, Channel], change: str
) -> None:
    gate = Gate()
    async with run_bot(lambda: FakePipeline(SIZES, gate=gate), config=everywhere()) as bot:
        card = await (await ask(loopback, THREAD)).until(says("step 0"))
        loopback.change_channel(places[THREAD], **{change: True})
        gate.open()
        record = await told(bot)
        assert record.state is State.UNDELIVERED
        assert record.reason == "This thread is closed now. /jobs still has the pictures."
        assert not has_pictures(card)


async def test_a_press_on_a_card_in_a_closed_thread_is_answered(
    loopback: LoopbackDiscord, run_bot: RunBot, places: dict[int, Channel]
) -> None:
    async with run_bot(config=everywhere()) as bot:
        card = await (await ask(loopback, THREAD)).until(has_pictures)
        await told(bot)
        loopback.change_channel(places[THREAD], archived=True)
        looking = await loopback.press(int(card["id"]), button(card, "open"), user_id=BEN)
        await looking.until(has_pictures)  # what one alone sees changes nothing in the thread
        press = await loopback.press(int(card["id"]), button(card, "delete"), user_id=BEN)
        assert "This thread is closed now" in text_of(await whispered(press))


def elsewhere(**changes: Any) -> Config:
    return replace(make_config(), discord=replace(EVERYWHERE, **changes))


@pytest.mark.parametrize(
    ("config", "place", "words"),
    [
        (elsewhere(contexts=("server",)), BOT_DM, "The bot works in servers only. Ask there."),
        (elsewhere(contexts=("server", "dm")), GROUP, "in servers and direct messages with the"),
        (elsewhere(contexts=("dm",)), TEXT, "in direct messages with the bot only"),
        (elsewhere(installs=("server",)), STRANGE, "only in servers that invited it"),
        (elsewhere(nsfw=True), TEXT, "in age-restricted channels only"),
        (elsewhere(nsfw=True), THREAD, "in age-restricted channels only"),
        (elsewhere(guild_ids=(900_000_000_000_000_100,)), BOT_DM, "in servers only"),
    ],
)
async def test_a_command_that_is_no_longer_offered_there_is_refused(
    loopback: LoopbackDiscord, run_bot: RunBot, config: Config, place: int, words: str
) -> None:
    pipeline = FakePipeline(SIZES)
    registry = loopback.registry
    async with run_bot(lambda: pipeline, config=everywhere()):
        before = registry.listed(None)
    async with run_bot(lambda: pipeline, config=config) as bot:
        await bot.app.engine.warm()
        with pytest.raises(CommandRefused):
            await ask(loopback, place)
        # As a client has them that Discord has not told yet.
        registry.put(None, before)
        await refusal(await ask(loopback, place), words)
        await refusal(await loopback.slash("help", {}, user_id=BEN, channel_id=place), words)
        assert pipeline.requests == []


async def test_servers_alone_are_offered_the_commands_unless_told_otherwise(
    loopback: LoopbackDiscord, run_bot: RunBot
) -> None:
    async with run_bot():
        for command in loopback.commands():
            offered = (command["contexts"], command["integration_types"], command["nsfw"])
            assert offered == ([0], [0], False)
        await (await ask(loopback, THREAD)).until(has_pictures)
        for place in (BOT_DM, OTHER_DM, STRANGE):
            with pytest.raises(CommandRefused):
                await ask(loopback, place)


async def test_age_restricted_commands_are_used_in_age_restricted_channels(
    loopback: LoopbackDiscord, run_bot: RunBot
) -> None:
    async with run_bot(config=elsewhere(nsfw=True)):
        assert all(command["nsfw"] for command in loopback.commands())
        loopback.change_channel(loopback.world.channels[TEXT], nsfw=True)
        await (await ask(loopback, THREAD)).until(has_pictures)


async def test_follow_ups_whose_answers_are_lost_end_with_the_last_that_discord_takes(
    loopback: LoopbackDiscord, run_bot: RunBot
) -> None:
    async def at_once(_: float) -> None:
        await asyncio.sleep(0)

    gate = Gate()
    config = everywhere(limits=LimitsConfig(1, 0, 0, 0, 0))
    pipeline = FakePipeline(SIZES, gate=gate)
    async with run_bot(lambda: pipeline, config=config, sleep=at_once):
        first = await ask(loopback, GROUP)
        await first.until(says("step 0"))
        route = "/webhooks/*/*"
        loopback.faults.add(Fault(kind="drop_after", method="POST", route=route, count=5))
        more = count(loopback, "POST", route)
        second = await ask(loopback, GROUP)
        await refusal(second, "You have 1 job in the queue")
        await more.wait_fired()  # the sixth, which Discord refuses for good
        gate.open()
        await first.until(has_pictures)
    assert len(second.followups) == 5
    assert all("You have 1 job in the queue" in text_of(one) for one in second.followups)
    assert more.fired == 1


async def test_a_limit_is_told_before_what_was_sent_along_is_fetched(
    loopback: LoopbackDiscord, run_bot: RunBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetched: list[str] = []
    read = discord.Attachment.read

    async def note(attachment: discord.Attachment) -> bytes:
        fetched.append(attachment.filename)
        return await read(attachment)

    monkeypatch.setattr(discord.Attachment, "read", note)
    file = io.BytesIO()
    Image.new("RGB", (64, 64)).save(file, "PNG")
    picture = Upload("cat.png", "image/png", file.getvalue())
    gate = Gate()
    config = make_config(limits=LimitsConfig(1, 0, 0, 0, 0))
    async with run_bot(lambda: FakePipeline(SIZES, gate=gate), config=config):
        first = await ask(loopback, TEXT)
        await first.until(says("step 0"))
        await refusal(await ask(loopback, TEXT, image=picture), "You have 1 job in the queue")
        assert fetched == []
        gate.open()
        await first.until(has_pictures)
        await (await ask(loopback, TEXT, image=picture)).until(has_pictures)
    assert fetched == ["cat.png"]


async def test_presses_of_others_are_refused_in_direct_messages_too(
    loopback: LoopbackDiscord, run_bot: RunBot
) -> None:
    async with run_bot(config=everywhere()):
        asked = await ask(loopback, OTHER_DM)
        card = await asked.until(has_pictures)
        press = await loopback.press(int(card["id"]), button(card, "delete"), user_id=ADA)
        assert "Only the one who asked for this" in text_of(await whispered(press))
