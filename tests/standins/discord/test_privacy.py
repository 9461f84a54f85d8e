"""Answers that one person sees: after a deferral taken back, edited by their token, pressed on."""

import asyncio
from collections.abc import Callable

import discord
import pytest

from standins.base.wire import Json
from standins.discord import CommandRefused, InteractionFailed, LoopbackDiscord, ManualClock
from tests.standins.discord.client import Bot, Interaction
from tests.standins.discord.people import ADA, BEN

EPHEMERAL = 1 << 6


def says(content: str) -> Callable[[Json], bool]:
    """Whether a message says just this."""
    return lambda message: bool(message["content"] == content)


def seen_by(loopback: LoopbackDiscord, user_id: int | None) -> list[str]:
    """What a person (None: the bot) reads in the channel."""
    channel_id = loopback.world.first_channel.id
    return [message["content"] for message in loopback.history(channel_id, user_id)]


async def refuse_in_private(interaction: Interaction) -> None:
    """Defer for all, then find that the answer is for the asker alone."""
    await interaction.response.defer(thinking=True)
    await interaction.delete_original_response()
    await interaction.followup.send("refused", ephemeral=True)


async def test_a_deferral_taken_back_and_a_private_follow_up(
    loopback: LoopbackDiscord, bot: Bot
) -> None:
    bot.handler = refuse_in_private
    async with loopback.subscribe() as events:
        interaction = await loopback.slash("imagine", {"prompt": "x"}, user_id=ADA)
        message = await interaction.until(says("refused"))
        told = [await events.get() for _ in range(4)]
    assert [(event.kind, event.viewer_id) for event in told] == [
        ("interaction_create", ADA),
        ("message_create", None),
        ("message_delete", None),
        ("message_create", ADA),
    ]
    assert message["flags"] == EPHEMERAL
    assert (interaction.state, interaction.original) == ("answered", None)
    assert interaction.answer == message
    assert interaction.followups == [message]
    assert seen_by(loopback, ADA) == ["refused"]
    assert seen_by(loopback, BEN) == seen_by(loopback, None) == []


@pytest.mark.parametrize(("deferred", "flags"), [(True, EPHEMERAL), (False, 0)])
async def test_the_first_follow_up_keeps_the_visibility_of_its_deferral(
    loopback: LoopbackDiscord, bot: Bot, deferred: bool, flags: int
) -> None:
    async def follow(interaction: Interaction) -> None:
        await interaction.response.defer(thinking=True, ephemeral=deferred)
        await interaction.followup.send("one", ephemeral=not deferred)
        await interaction.followup.send("two", ephemeral=not deferred)
        done.set()

    done = asyncio.Event()
    bot.handler = follow
    interaction = await loopback.slash("imagine", {"prompt": "x"}, user_id=ADA)
    first = await interaction.until(says("one"))
    assert (first["flags"], interaction.original) == (flags, first)
    await done.wait()
    [second] = interaction.followups
    assert second["flags"] == EPHEMERAL - flags
    assert seen_by(loopback, BEN) == (["two"] if deferred else ["one"])


async def test_an_answer_that_never_comes_ends_the_wait_with_the_token(
    loopback: LoopbackDiscord, bot: Bot, clock: ManualClock
) -> None:
    async def regret(interaction: Interaction) -> None:
        await interaction.response.defer(thinking=True)
        await interaction.delete_original_response()

    bot.handler = regret
    gone = asyncio.create_task(loopback.wait_for(lambda event: event.kind == "message_delete"))
    interaction = await loopback.slash("imagine", {"prompt": "x"})
    waiting = asyncio.create_task(interaction.until(says("never")))
    await gone
    assert not waiting.done()
    clock.advance(15 * 60)
    with pytest.raises(InteractionFailed, match="took its answer back"):
        await waiting


async def test_a_private_message_is_edited_and_deleted_by_its_token(
    loopback: LoopbackDiscord, bot: Bot
) -> None:
    asked: asyncio.Queue[Interaction] = asyncio.Queue()

    async def whisper(interaction: Interaction) -> None:
        await interaction.response.send_message("one", ephemeral=True)
        asked.put_nowait(interaction)

    bot.handler = whisper
    interaction = await loopback.slash("imagine", {"prompt": "x"}, user_id=ADA)
    its_own = await asked.get()
    await its_own.edit_original_response(content="two")
    assert (await interaction.until(says("two")))["flags"] == EPHEMERAL
    followup = await its_own.followup.send("three", ephemeral=True, wait=True)
    await followup.edit(content="four")
    assert seen_by(loopback, ADA) == ["two", "four"]
    assert seen_by(loopback, BEN) == seen_by(loopback, None) == []
    channel = bot.get_partial_messageable(loopback.world.first_channel.id)
    with pytest.raises(discord.NotFound) as by_id:
        await channel.get_partial_message(followup.id).edit(content="by its id")
    assert by_id.value.code == 10008
    await followup.delete()
    await its_own.delete_original_response()
    assert seen_by(loopback, ADA) == []


class List(discord.ui.View):
    """A list that a press brings up to date, at once or after a deferral."""

    def __init__(self, done: asyncio.Event) -> None:
        super().__init__(timeout=None)
        self.done = done

    @discord.ui.button(label="Now", custom_id="now")
    async def now(self, interaction: Interaction, _: discord.ui.Button["List"]) -> None:
        await interaction.response.edit_message(content="now")

    @discord.ui.button(label="Later", custom_id="later")
    async def later(self, interaction: Interaction, _: discord.ui.Button["List"]) -> None:
        await interaction.response.defer()
        await interaction.edit_original_response(content="later")
        await interaction.followup.send("done", ephemeral=True)
        self.done.set()


@pytest.mark.parametrize("follows_a_deferral", [False, True])
async def test_a_press_on_a_private_message_edits_that_message(
    loopback: LoopbackDiscord, bot: Bot, follows_a_deferral: bool
) -> None:
    async def show(interaction: Interaction) -> None:
        if follows_a_deferral:
            await interaction.response.defer(thinking=True)
            await interaction.delete_original_response()
            await interaction.followup.send("list", view=List(done), ephemeral=True)
        else:
            await interaction.response.send_message("list", view=List(done), ephemeral=True)

    done = asyncio.Event()
    bot.handler = show
    interaction = await loopback.slash("imagine", {"prompt": "x"}, user_id=ADA)
    shown = await interaction.until(says("list"))
    message_id = int(shown["id"])
    with pytest.raises(CommandRefused, match="gone"):
        await loopback.press(message_id, "now", user_id=BEN)
    for custom_id in ("now", "later"):
        press = await loopback.press(message_id, custom_id, user_id=ADA)
        message = await press.until(says(custom_id))
        assert (message["id"], message["flags"]) == (shown["id"], EPHEMERAL)
    assert await interaction.until(says("later")) == message
    await done.wait()
    assert seen_by(loopback, ADA) == ["later", "done"]
    assert seen_by(loopback, BEN) == []
