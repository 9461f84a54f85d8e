"""Moderators: who is one, what they delete, and what the bot hears and may still do then."""

import asyncio

import discord
import pytest

from standins.base.wire import Json
from standins.discord import CommandRefused, LoopbackDiscord
from standins.discord.world import MANAGE_MESSAGES
from tests.standins.discord.client import Api, Bot, Interaction, RawGateway
from tests.standins.discord.people import ADA, BEN, CLEO, MIA

GUILDS, MESSAGES = 1, 1 << 9


async def hello(interaction: Interaction) -> None:
    await interaction.response.send_message("hello")


def there(message: Json) -> bool:
    return bool(message["content"])


@pytest.mark.parametrize(
    ("user_id", "moderates"), [(ADA, True), (BEN, False), (CLEO, False), (MIA, True)]
)
async def test_the_bot_is_told_who_moderates(
    loopback: LoopbackDiscord, bot: Bot, user_id: int, moderates: bool
) -> None:
    told: asyncio.Queue[tuple[bool, bool]] = asyncio.Queue()

    async def note(interaction: Interaction) -> None:
        await interaction.response.send_message("noted")
        assert isinstance(interaction.user, discord.Member)
        by_roles = interaction.user.guild_permissions.manage_messages
        told.put_nowait((interaction.permissions.manage_messages, by_roles))

    bot.handler = note
    await loopback.slash("imagine", {"prompt": "x"}, user_id=user_id)
    assert await told.get() == (moderates, moderates)


async def test_a_message_is_deleted_by_its_author_and_by_moderators(
    loopback: LoopbackDiscord,
) -> None:
    channel_id = loopback.world.first_channel.id
    for user_id in (BEN, MIA, ADA):
        said = await loopback.say("mine", user_id=BEN)
        with pytest.raises(CommandRefused, match="Cleo may not delete"):
            loopback.delete(int(said["id"]), user_id=CLEO)
        loopback.delete(int(said["id"]), user_id=user_id)
        assert loopback.history(channel_id) == []
        with pytest.raises(CommandRefused, match="gone"):
            loopback.delete(int(said["id"]), user_id=user_id)


async def test_what_one_person_sees_is_deleted_by_nobody(
    loopback: LoopbackDiscord, bot: Bot
) -> None:
    async def whisper(interaction: Interaction) -> None:
        await interaction.response.send_message("psst", ephemeral=True)

    bot.handler = whisper
    interaction = await loopback.slash("imagine", {"prompt": "x"}, user_id=BEN)
    message_id = int((await interaction.until(there))["id"])
    with pytest.raises(CommandRefused, match="gone"):
        loopback.delete(message_id, user_id=MIA)
    with pytest.raises(CommandRefused, match="dismissed"):
        loopback.delete(message_id, user_id=BEN)
    assert interaction.original is not None


async def test_the_bot_is_told_of_a_deletion_and_reaches_the_message_no_more(
    loopback: LoopbackDiscord, bot: Bot, api: Api
) -> None:
    asked: asyncio.Queue[Interaction] = asyncio.Queue()

    async def answer(interaction: Interaction) -> None:
        await interaction.response.defer(thinking=True)
        await interaction.edit_original_response(content="hello")
        asked.put_nowait(interaction)

    bot.handler = answer
    interaction = await loopback.slash("imagine", {"prompt": "x"}, user_id=BEN)
    its_own = await asked.get()
    message_id = int((await interaction.until(there))["id"])
    loopback.delete(message_id, user_id=MIA)
    (deleted,) = await bot.saw("raw_message_delete")
    assert (deleted.message_id, deleted.guild_id) == (message_id, loopback.world.guild_id)
    with pytest.raises(discord.NotFound) as by_token:
        await its_own.edit_original_response(content="too late")
    with pytest.raises(discord.NotFound) as by_deletion:
        await its_own.delete_original_response()
    assert (by_token.value.code, by_deletion.value.code) == (10008, 10008)
    channel = bot.get_partial_messageable(loopback.world.first_channel.id)
    with pytest.raises(discord.NotFound) as by_id:
        await channel.get_partial_message(message_id).edit(content="too late")
    assert by_id.value.code == 10008
    followup = await its_own.followup.send("still here", wait=True)
    assert [one["id"] for one in loopback.history(channel.id)] == [str(followup.id)]
    loopback.delete(followup.id, user_id=MIA)
    with pytest.raises(discord.NotFound) as by_followup:
        await followup.edit(content="too late")
    assert by_followup.value.code == 10008


async def test_a_deleted_thinking_answer_cannot_be_completed(
    loopback: LoopbackDiscord, bot: Bot
) -> None:
    asked: asyncio.Queue[Interaction] = asyncio.Queue()

    async def think(interaction: Interaction) -> None:
        await interaction.response.defer(thinking=True)
        asked.put_nowait(interaction)

    bot.handler = think
    interaction = await loopback.slash("imagine", {"prompt": "x"})
    its_own = await asked.get()
    assert interaction.original is not None
    loopback.delete(int(interaction.original["id"]), user_id=MIA)
    for try_again in (
        its_own.edit_original_response(content="too late"),
        its_own.followup.send("too late", wait=True),
    ):
        with pytest.raises(discord.NotFound) as refused:
            await try_again
        assert refused.value.code == 10008


async def test_a_press_on_a_message_that_goes_meanwhile(
    loopback: LoopbackDiscord, bot: Bot
) -> None:
    codes: asyncio.Queue[int] = asyncio.Queue()

    class Buttons(discord.ui.View):
        @discord.ui.button(label="Now", custom_id="now")
        async def now(self, interaction: Interaction, _: discord.ui.Button["Buttons"]) -> None:
            loopback.delete(message_id, user_id=MIA)
            with pytest.raises(discord.NotFound) as refused:
                await interaction.response.edit_message(content="too late")
            codes.put_nowait(refused.value.code)

        @discord.ui.button(label="Later", custom_id="later")
        async def later(self, interaction: Interaction, _: discord.ui.Button["Buttons"]) -> None:
            loopback.delete(message_id, user_id=MIA)
            await interaction.response.defer()
            with pytest.raises(discord.NotFound) as refused:
                await interaction.edit_original_response(content="too late")
            codes.put_nowait(refused.value.code)

    async def show(interaction: Interaction) -> None:
        await interaction.response.send_message("card", view=Buttons(timeout=None))

    bot.handler = show
    for custom_id in ("now", "later"):
        interaction = await loopback.slash("imagine", {"prompt": "x"})
        message_id = int((await interaction.until(there))["id"])
        await loopback.press(message_id, custom_id)
        assert await codes.get() == 10008


async def test_deletions_are_told_to_those_who_listen_to_messages(
    loopback: LoopbackDiscord,
) -> None:
    async with RawGateway.connect(loopback) as deaf, RawGateway.connect(loopback) as listening:
        for raw, intents in ((deaf, GUILDS), (listening, MESSAGES)):
            await raw.receive()
            await raw.identify(loopback.token, intents)
            await raw.event("READY")
        await deaf.event("GUILD_CREATE")
        said = await loopback.say("x", user_id=BEN)
        loopback.delete(int(said["id"]), user_id=MIA)
        deleted = await listening.event("MESSAGE_DELETE")
        assert deleted["d"] == {
            "id": said["id"],
            "channel_id": said["channel_id"],
            "guild_id": str(loopback.world.guild_id),
        }
        await deaf.send(1)
        assert (await deaf.receive())["op"] == 11


async def test_a_bot_that_moderates_deletes_too(loopback: LoopbackDiscord, api: Api) -> None:
    said = await loopback.say("x", user_id=BEN)
    path = f"/channels/{said['channel_id']}/messages/{said['id']}"
    assert (await api("DELETE", path))[1]["code"] == 50013
    loopback.world.roles[loopback.world.bot.role_ids[0]].permissions |= MANAGE_MESSAGES
    assert (await api("DELETE", path))[0] == 204
