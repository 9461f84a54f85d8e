"""Whom a bot's message pings: what the text says, as far as the bot allows it."""

import asyncio

import discord
import pytest

from standins.base.wire import Json
from standins.discord import LoopbackDiscord
from standins.discord.world import READ_MESSAGE_HISTORY
from tests.standins.discord.client import Api, Bot, Interaction
from tests.standins.discord.people import ADA, BEN, PAINTERS

TEXT = f"<@{ADA}> <@{BEN}> @everyone"


def only(user_id: int) -> discord.AllowedMentions:
    """Ping this one alone, whatever the text says and whoever is replied to."""
    return discord.AllowedMentions(
        everyone=False, roles=False, users=[discord.Object(user_id)], replied_user=False
    )


def pinged(message: Json) -> tuple[list[int], bool]:
    return [int(user["id"]) for user in message["mentions"]], message["mention_everyone"]


def latest(loopback: LoopbackDiscord) -> Json:
    return loopback.history(loopback.world.first_channel.id)[-1]


async def test_a_reply_pings_only_the_one_it_names(loopback: LoopbackDiscord, bot: Bot) -> None:
    channel = bot.get_partial_messageable(loopback.world.first_channel.id)
    asked = await channel.send("the card")
    said = await loopback.say("hello", user_id=BEN)
    replied_to = discord.AllowedMentions(
        everyone=False, roles=False, users=False, replied_user=True
    )
    for target, allowed, expected in (
        (asked.id, only(ADA), [ADA]),
        (int(said["id"]), only(ADA), [ADA]),
        (int(said["id"]), discord.AllowedMentions.none(), []),
        (int(said["id"]), replied_to, [BEN]),
    ):
        to = channel.get_partial_message(target).to_reference(fail_if_not_exists=False)
        await channel.send(TEXT, reference=to, allowed_mentions=allowed)
        message = latest(loopback)
        assert message["message_reference"]["message_id"] == str(target)
        assert message["referenced_message"]["id"] == str(target)
        assert pinged(message) == (expected, False)


async def test_a_reply_to_a_message_that_is_gone(loopback: LoopbackDiscord, bot: Bot) -> None:
    channel = bot.get_partial_messageable(loopback.world.first_channel.id)
    gone = channel.get_partial_message(int((await loopback.say("x"))["id"]))
    loopback.delete(gone.id)
    with pytest.raises(discord.HTTPException) as refused:
        await channel.send("x", reference=gone.to_reference(fail_if_not_exists=True))
    assert refused.value.code == 50035
    reference = gone.to_reference(fail_if_not_exists=False)
    await channel.send(TEXT, reference=reference, allowed_mentions=only(ADA))
    assert "message_reference" not in latest(loopback)
    assert pinged(latest(loopback)) == ([ADA], False)


async def test_a_reply_needs_to_read_what_it_replies_to(
    loopback: LoopbackDiscord, bot: Bot
) -> None:
    channel = bot.get_partial_messageable(loopback.world.first_channel.id)
    card = await channel.send("the card")
    loopback.world.first_channel.bot_permissions &= ~READ_MESSAGE_HISTORY
    with pytest.raises(discord.HTTPException) as refused:
        await channel.send("x", reference=card.to_reference())
    assert (refused.value.status, refused.value.code) == (400, 160002)


async def test_a_follow_up_pings_only_the_one_it_names(loopback: LoopbackDiscord, bot: Bot) -> None:
    done = asyncio.Event()

    async def follow(interaction: Interaction) -> None:
        await interaction.response.send_message("the card")
        await interaction.followup.send(TEXT, allowed_mentions=only(ADA))
        await interaction.followup.send(TEXT, allowed_mentions=discord.AllowedMentions.none())
        await interaction.followup.send(f"{TEXT} <@&{PAINTERS}>")
        done.set()

    bot.handler = follow
    interaction = await loopback.slash("imagine", {"prompt": "x"}, user_id=ADA)
    await done.wait()
    named, nobody, unsaid = interaction.followups
    assert pinged(named) == ([ADA], False)
    assert pinged(nobody) == ([], False)
    assert pinged(unsaid) == ([ADA, BEN], False)  # an answer pings people alone unless it says more
    assert unsaid["mention_roles"] == []
    assert interaction.original is not None
    assert named["message_reference"]["message_id"] == interaction.original["id"]


async def test_an_edit_pings_anew_only_with_a_new_text(loopback: LoopbackDiscord, bot: Bot) -> None:
    channel = bot.get_partial_messageable(loopback.world.first_channel.id)
    message = await channel.send(TEXT, allowed_mentions=only(ADA))
    await message.edit(embed=discord.Embed(title="x"))
    assert pinged(latest(loopback)) == ([ADA], False)
    await message.edit(content=f"{TEXT}!", allowed_mentions=only(BEN))
    assert pinged(latest(loopback)) == ([BEN], False)


async def test_at_most_a_hundred_are_named(loopback: LoopbackDiscord, api: Api) -> None:
    path = f"/channels/{loopback.world.first_channel.id}/messages"
    for number, status in ((100, 200), (101, 400)):
        users = [str(one) for one in range(1, number + 1)]
        body = {"content": "x", "allowed_mentions": {"users": users}}
        assert (await api("POST", path, json=body))[0] == status
