"""What a bot can find out without being online: its servers, and what it may do in them."""

import discord
import pytest

from standins.discord import LoopbackDiscord
from standins.discord.world import (
    ADMINISTRATOR,
    ATTACH_FILES,
    EMBED_LINKS,
    READ_MESSAGE_HISTORY,
    SEND_MESSAGES,
    VIEW_CHANNEL,
)
from tests.standins.discord.client import Api, RawGateway

NEEDED = {
    "view_channel": VIEW_CHANNEL,
    "send_messages": SEND_MESSAGES,
    "embed_links": EMBED_LINKS,
    "attach_files": ATTACH_FILES,
    "read_message_history": READ_MESSAGE_HISTORY,
}


async def lacking(loopback: LoopbackDiscord) -> dict[str, set[str]]:
    """What the bot lacks of NEEDED in each channel, as discord.py works it out from requests."""
    async with discord.Client(intents=discord.Intents.none()) as client:
        await client.login(loopback.token)
        assert client.user is not None
        [found] = [guild async for guild in client.fetch_guilds()]
        guild = await client.fetch_guild(found.id)
        me = await guild.fetch_member(client.user.id)
        return {
            channel.name: {name for name in NEEDED if not getattr(granted, name)}
            for channel in await guild.fetch_channels()
            for granted in [channel.permissions_for(me)]
        }


async def test_a_healthy_bot_lacks_nothing(loopback: LoopbackDiscord) -> None:
    assert await lacking(loopback) == {"imagine": set(), "gallery": set()}


@pytest.mark.parametrize("name", ["send_messages", "embed_links", "attach_files"])
async def test_what_is_taken_away_in_the_whole_server(
    loopback: LoopbackDiscord, api: Api, name: str
) -> None:
    loopback.world.take_from_bot(NEEDED[name])
    found = await lacking(loopback)
    assert all(name in channel for channel in found.values())
    [guild] = (await api("GET", "/users/@me/guilds"))[1]
    assert not int(guild["permissions"]) & NEEDED[name]


@pytest.mark.parametrize("name", NEEDED)
async def test_what_is_taken_away_in_one_channel(loopback: LoopbackDiscord, name: str) -> None:
    loopback.world.first_channel.bot_permissions &= ~NEEDED[name]
    found = await lacking(loopback)
    assert name in found["imagine"]
    assert found["gallery"] == set()


async def test_an_administrator_may_do_everything_everywhere(loopback: LoopbackDiscord) -> None:
    loopback.world.first_channel.bot_permissions = 0
    loopback.world.roles[loopback.world.bot.role_ids[0]].permissions |= ADMINISTRATOR
    assert await lacking(loopback) == {"imagine": set(), "gallery": set()}


async def test_what_is_taken_away_is_refused(loopback: LoopbackDiscord, api: Api) -> None:
    path = f"/channels/{loopback.world.first_channel.id}/messages"
    assert (await api("POST", path, json={"content": "x"}))[0] == 200
    loopback.world.take_from_bot(SEND_MESSAGES)
    assert (await api("POST", path, json={"content": "x"}))[1]["code"] == 50013
    loopback.world.take_from_bot(VIEW_CHANNEL)
    assert (await api("POST", path, json={"content": "x"}))[1]["code"] == 50001


async def test_a_bot_that_nobody_invited(loopback: LoopbackDiscord, api: Api) -> None:
    loopback.world.bot_is_member = False
    guild = f"/guilds/{loopback.world.guild_id}"
    assert await api("GET", "/users/@me/guilds") == (200, [])
    assert (await api("GET", guild))[1]["code"] == 10004
    for part in ("roles", "channels", f"members/{loopback.world.bot.id}"):
        assert (await api("GET", f"{guild}/{part}"))[1]["code"] == 50001
    async with RawGateway.connect(loopback) as raw:
        await raw.receive()
        await raw.identify(loopback.token)
        assert (await raw.event("READY"))["d"]["guilds"] == []


async def test_servers_are_counted_and_paged(loopback: LoopbackDiscord, api: Api) -> None:
    guild_id = loopback.world.guild_id
    counted = {"with_counts": "1"}
    _, [found] = await api("GET", "/users/@me/guilds", params=counted)
    assert found["approximate_member_count"] == len(loopback.world.people)
    assert (await api("GET", f"/guilds/{guild_id}", params=counted))[1]["roles"]
    for query, names in (
        ({"after": str(guild_id)}, []),
        ({"before": str(guild_id)}, []),
        ({"after": str(guild_id - 1)}, ["Playground"]),
    ):
        _, page = await api("GET", "/users/@me/guilds", params=query)
        assert [guild["name"] for guild in page] == names
    status, body = await api("GET", "/users/@me/guilds", params={"limit": "201"})
    assert (status, body["code"]) == (400, 50035)


async def test_the_bots_own_role_is_marked(loopback: LoopbackDiscord, api: Api) -> None:
    _, roles = await api("GET", f"/guilds/{loopback.world.guild_id}/roles")
    [own] = [role for role in roles if role["managed"]]
    assert own["tags"] == {"bot_id": str(loopback.world.bot.id)}
    assert (
        own["id"]
        in (await api("GET", f"/guilds/{loopback.world.guild_id}/members/{loopback.world.bot.id}"))[
            1
        ]["roles"]
    )
