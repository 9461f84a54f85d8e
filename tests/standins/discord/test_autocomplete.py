"""What a bot offers while somebody fills in an option, by discord.py and under Discord's rules."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest
import pytest_asyncio
from discord.app_commands import Choice

from standins.discord import CommandRefused, InteractionFailed
from tests.standins.discord.page_bot import Channel, running_channel


@pytest_asyncio.fixture
async def channel() -> AsyncIterator[Channel]:
    async with running_channel() as running:
        yield running


async def test_the_bot_hears_what_was_typed_and_its_choices_come_back(channel: Channel) -> None:
    async with channel.loopback.subscribe() as events:
        choices = await channel.loopback.complete("say", {"text": "hi", "voice": "al"}, "voice")
    assert choices == [{"name": "alto", "value": "a"}]
    assert channel.bot.heard.get_nowait() == ("hi", "al")
    assert events.empty()  # nobody in the channel sees anything of it


async def test_what_is_required_may_be_empty_still(channel: Channel) -> None:
    choices = await channel.loopback.complete("say", {}, "voice")
    assert [choice["name"] for choice in choices] == ["alto", "bass"]
    assert channel.bot.heard.get_nowait() == (None, "")


async def test_what_was_offered_need_not_be_chosen(channel: Channel) -> None:
    interaction = await channel.loopback.slash("say", {"text": "hi", "voice": "tenor"})
    assert (await interaction.until(lambda _: True))["content"] == "hi (tenor)"


@pytest.mark.parametrize("option", ["text", "absent"])
async def test_an_option_for_which_nothing_is_offered(channel: Channel, option: str) -> None:
    with pytest.raises(CommandRefused):
        await channel.loopback.complete("say", {"text": "hi"}, option)
    assert channel.bot.heard.empty()


@pytest.mark.parametrize(
    "voices",
    [
        [Choice(name=str(n), value=str(n)) for n in range(26)],
        [Choice(name="x" * 101, value="x")],
        [Choice(name="x", value="x" * 101)],
        [Choice(name="", value="x")],
    ],
)
async def test_choices_that_discord_refuses_are_no_answer(
    channel: Channel, voices: list[Choice[str]]
) -> None:
    channel.bot.voices = voices
    asking = asyncio.create_task(channel.loopback.complete("say", {}, "voice"))
    refusal = await channel.bot.refusals.get()
    assert (refusal.status, refusal.code) == (400, 50035)
    channel.clock.advance(3)
    with pytest.raises(InteractionFailed, match="did not respond"):
        await asking


async def test_a_bot_that_says_nothing(channel: Channel) -> None:
    channel.bot.silent_about_voices = True
    asking = asyncio.create_task(channel.loopback.complete("say", {}, "voice"))
    await channel.bot.heard.get()
    channel.clock.advance(3)
    with pytest.raises(InteractionFailed, match="did not respond"):
        await asking


async def test_whoever_asked_may_be_gone_when_the_answer_comes(channel: Channel) -> None:
    asking = asyncio.create_task(channel.loopback.complete("say", {}, "voice"))
    await asyncio.sleep(0)
    asking.cancel()
    with suppress(asyncio.CancelledError):
        await asking
    choices = await channel.loopback.complete("say", {"voice": "b"}, "voice")
    assert choices == [{"name": "bass", "value": "b"}]
