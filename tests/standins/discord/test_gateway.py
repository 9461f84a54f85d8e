"""The gateway: sessions, resuming, closing, what is sent to whom."""

import asyncio
from collections.abc import AsyncIterator

import discord
import pytest

from standins.base.wire import Json
from standins.discord import Channel, LoopbackDiscord, ManualClock
from tests.standins.discord.client import Api, Bot, Interaction, RawGateway, Serve, running

GUILDS, MEMBERS, MESSAGES, CONTENT = 1, 1 << 1, 1 << 9, 1 << 15


@pytest.fixture
async def raw(loopback: LoopbackDiscord) -> AsyncIterator[RawGateway]:
    """A connection that has been greeted."""
    async with RawGateway.connect(loopback) as raw:
        hello = await raw.receive()
        assert hello["op"] == 10
        yield raw


async def answer(interaction: Interaction) -> None:
    await interaction.response.send_message("here")


async def here(loopback: LoopbackDiscord, bot: Bot) -> Json:
    """The bot still answers."""
    bot.handler = answer
    interaction = await loopback.slash("imagine", {"prompt": "x"})
    return await interaction.until(lambda message: message["content"] == "here")


async def test_ready_then_the_guild(loopback: LoopbackDiscord, raw: RawGateway) -> None:
    await raw.identify(loopback.token)
    ready = await raw.receive()
    assert (ready["t"], ready["s"]) == ("READY", 1)
    assert ready["d"]["resume_gateway_url"] == loopback.gateway_url
    guild_id = str(loopback.world.guild_id)
    assert ready["d"]["guilds"] == [{"id": guild_id, "unavailable": True}]
    created = await raw.receive()
    assert (created["t"], created["s"], created["d"]["id"]) == ("GUILD_CREATE", 2, guild_id)
    assert [one["user"]["bot"] for one in created["d"]["members"]] == [True]
    assert loopback.online


async def test_discord_py_knows_the_guild(loopback: LoopbackDiscord) -> None:
    async with running(loopback) as bot:
        await bot.saw("ready")
        guild = bot.get_guild(loopback.world.guild_id)
        assert guild is not None
        assert [channel.name for channel in guild.text_channels] == ["imagine", "gallery"]
        assert guild.me.id == loopback.world.application_id
        assert guild.text_channels[0].permissions_for(guild.me).attach_files
    await loopback.wait_offline()


async def test_compressed_stream(loopback: LoopbackDiscord) -> None:
    async with RawGateway.connect(loopback, "v=10&encoding=json&compress=zlib-stream") as raw:
        assert (await raw.receive())["op"] == 10
        await raw.identify(loopback.token)
        assert (await raw.receive())["t"] == "READY"


async def test_unknown_compression(loopback: LoopbackDiscord) -> None:
    with pytest.raises(Exception, match="400"):
        async with RawGateway.connect(loopback, "v=10&compress=lzma"):
            raise AssertionError


async def test_heartbeat_is_acknowledged(raw: RawGateway) -> None:
    await raw.send(1, None)
    assert (await raw.receive())["op"] == 11


async def test_heartbeat_on_request(loopback: LoopbackDiscord, raw: RawGateway) -> None:
    await raw.identify(loopback.token)
    await raw.event("GUILD_CREATE")
    loopback.gateway.ask_heartbeat()
    assert (await raw.receive())["op"] == 1


async def test_bot_without_a_heartbeat_is_dropped(
    loopback: LoopbackDiscord, raw: RawGateway, clock: ManualClock
) -> None:
    await raw.identify(loopback.token)
    ready = await raw.event("READY")
    await raw.event("GUILD_CREATE")
    clock.advance(61)
    await raw.send(1, 2)
    assert (await raw.receive())["op"] == 11
    clock.advance(61)
    assert loopback.online
    clock.advance(1)
    assert await raw.closed() == 4009
    async with RawGateway.connect(loopback) as again:
        await again.receive()
        await again.resume(loopback.token, ready["d"]["session_id"], 2)
        assert await again.receive() == {"op": 9, "d": False, "s": None, "t": None}


@pytest.mark.parametrize(
    ("op", "data", "code"),
    [
        (2, {"token": "wrong", "intents": 1}, 4004),
        (6, {"token": "wrong", "session_id": "x", "seq": 1}, 4004),
        (2, {"token": "loopback-token", "intents": 1 << 40}, 4013),
        (2, {"token": "loopback-token"}, 4013),
        (2, {"token": "loopback-token", "intents": 1 | CONTENT}, 4014),
        (2, {"token": "loopback-token", "intents": 1 | MEMBERS}, 4014),
        (2, {"token": "loopback-token", "intents": 1, "shard": [2, 2]}, 4010),
        (2, {"token": "loopback-token", "intents": 1, "shard": [-1, 2]}, 4010),
        (2, {"token": "loopback-token", "intents": 1, "shard": [0]}, 4010),
        (2, {"token": "loopback-token", "intents": 1, "shard": "0 of 1"}, 4010),
        (3, {}, 4003),
        (8, {}, 4003),
        (77, {}, 4003),
    ],
)
async def test_close_codes_before_a_session(
    raw: RawGateway, op: object, data: object, code: int
) -> None:
    await raw.send(op, data)
    assert await raw.closed() == code


@pytest.mark.parametrize(("op", "code"), [(2, 4005), (6, 4005), (77, 4001), ("x", 4001)])
async def test_close_codes_in_a_session(
    loopback: LoopbackDiscord, raw: RawGateway, op: object, code: int
) -> None:
    await raw.identify(loopback.token)
    await raw.send(op, {"token": loopback.token})
    assert await raw.closed() == code


@pytest.mark.parametrize("text", ["{", "[]", '{"op": 1, "d": "' + "x" * 4_096 + '"}'])
async def test_undecodable_payload(raw: RawGateway, text: str) -> None:
    await raw.send_text(text)
    assert await raw.closed() == 4002


@pytest.mark.parametrize("query", ["v=9&encoding=json", "v=10&encoding=etf", "encoding=json"])
async def test_other_versions(loopback: LoopbackDiscord, query: str) -> None:
    async with RawGateway.connect(loopback, query) as raw:
        assert await raw.closed() == 4012


async def test_too_many_payloads(raw: RawGateway, clock: ManualClock) -> None:
    for _ in range(2):
        clock.advance(60)
        for _ in range(120):
            await raw.send(1)
            assert (await raw.receive())["op"] == 11
    await raw.send(1)
    assert await raw.closed() == 4008


async def test_resume_replays_what_was_missed(loopback: LoopbackDiscord) -> None:
    async with RawGateway.connect(loopback) as raw:
        await raw.receive()
        await raw.identify(loopback.token, GUILDS | MESSAGES)
        session_id = (await raw.event("READY"))["d"]["session_id"]
        await raw.event("GUILD_CREATE")
        loopback.gateway.drop()
        assert await raw.closed() == 1006
    await loopback.say("one")
    await loopback.say("two")
    async with RawGateway.connect(loopback) as raw:
        await raw.receive()
        await raw.resume(loopback.token, session_id, 2)
        first, second, resumed = [await raw.receive() for _ in range(3)]
        assert [one["t"] for one in (first, second)] == ["MESSAGE_CREATE"] * 2
        assert (first["s"], second["s"], resumed["t"]) == (3, 4, "RESUMED")
    assert loopback.gateway.resumes == 1


async def test_resume_that_cannot_be(loopback: LoopbackDiscord, clock: ManualClock) -> None:
    async with RawGateway.connect(loopback) as raw:
        await raw.receive()
        await raw.resume(loopback.token, "unknown", 1)
        assert await raw.receive() == {"op": 9, "d": False, "s": None, "t": None}
        await raw.identify(loopback.token)
        session_id = (await raw.event("READY"))["d"]["session_id"]
        await raw.close(4000)
    async with RawGateway.connect(loopback) as raw:
        await raw.receive()
        await raw.resume(loopback.token, session_id, 99)
        assert await raw.closed() == 4007


async def test_session_waits_three_minutes_for_its_bot(
    loopback: LoopbackDiscord, clock: ManualClock
) -> None:
    async with RawGateway.connect(loopback) as raw:
        await raw.receive()
        await raw.identify(loopback.token)
        session_id = (await raw.event("READY"))["d"]["session_id"]
        await raw.close(4000)
    await loopback.wait_offline()
    clock.advance(180)
    async with RawGateway.connect(loopback) as raw:
        await raw.receive()
        await raw.resume(loopback.token, session_id, 2)
        assert (await raw.receive())["op"] == 9


async def test_goodbye_ends_the_session(loopback: LoopbackDiscord) -> None:
    async with RawGateway.connect(loopback) as raw:
        await raw.receive()
        await raw.identify(loopback.token)
        session_id = (await raw.event("READY"))["d"]["session_id"]
        await raw.close(1000)
    async with RawGateway.connect(loopback) as raw:
        await raw.receive()
        await raw.resume(loopback.token, session_id, 2)
        assert (await raw.receive())["op"] == 9


async def test_discord_py_resumes_after_a_drop_and_misses_nothing(
    loopback: LoopbackDiscord, bot: Bot
) -> None:
    bot.handler = answer
    loopback.gateway.drop()
    interaction = await loopback.slash("imagine", {"prompt": "missed"})
    assert await interaction.until(lambda message: message["content"] == "here")
    assert (loopback.gateway.identifies, loopback.gateway.resumes) == (1, 1)
    await bot.saw("resumed")


async def test_discord_py_comes_back_when_asked(loopback: LoopbackDiscord, bot: Bot) -> None:
    loopback.gateway.reconnect()
    await bot.saw("resumed")
    assert await here(loopback, bot)
    assert (loopback.gateway.identifies, loopback.gateway.resumes) == (1, 1)


async def test_discord_py_resumes_a_resumable_session(loopback: LoopbackDiscord, bot: Bot) -> None:
    loopback.gateway.invalidate(resumable=True)
    await bot.saw("resumed")
    assert (loopback.gateway.identifies, loopback.gateway.resumes) == (1, 1)


async def test_discord_py_identifies_anew_after_an_invalid_session(
    loopback: LoopbackDiscord, bot: Bot
) -> None:
    await bot.saw("connect")
    loopback.gateway.invalidate(resumable=False)
    assert not loopback.online
    await loopback.wait_ready()
    await bot.saw("connect")
    assert await here(loopback, bot)
    assert (loopback.gateway.identifies, loopback.gateway.resumes) == (2, 0)


async def test_discord_py_is_told_of_privileged_intents(loopback: LoopbackDiscord) -> None:
    intents = discord.Intents.default()
    intents.message_content = True
    with pytest.raises(discord.PrivilegedIntentsRequired):
        async with running(loopback, intents=intents):
            raise AssertionError


async def test_message_content_is_privileged(loopback: LoopbackDiscord) -> None:
    loopback.world.privileged_intents = CONTENT
    bot_id = loopback.world.bot.id
    async with RawGateway.connect(loopback) as plain, RawGateway.connect(loopback) as full:
        for raw, intents in ((plain, MESSAGES), (full, MESSAGES | CONTENT)):
            await raw.receive()
            await raw.identify(loopback.token, intents)
            await raw.event("READY")
        await loopback.say("secret")
        await loopback.say(f"<@{bot_id}> hello")
        contents = [(await full.receive())["d"]["content"] for _ in range(2)]
        assert contents == ["secret", f"<@{bot_id}> hello"]
        contents = [(await plain.receive())["d"]["content"] for _ in range(2)]
        assert contents == ["", f"<@{bot_id}> hello"]


async def test_own_messages_come_whole(loopback: LoopbackDiscord, bot: Bot, api: Api) -> None:
    channel = loopback.world.first_channel
    await api("POST", f"/channels/{channel.id}/messages", json={"content": "mine"})
    (message,) = await bot.saw("message")
    assert bot.user is not None
    assert (message.content, message.author.id) == ("mine", bot.user.id)
    assert message.channel.name == channel.name


async def test_messages_of_other_intents_and_hidden_channels_stay_away(
    loopback: LoopbackDiscord,
) -> None:
    hidden = Channel(900_000_000_000_000_399, "hidden", bot_permissions=0)
    loopback.world.channels[hidden.id] = hidden
    async with RawGateway.connect(loopback) as guilds, RawGateway.connect(loopback) as messages:
        for raw, intents in ((guilds, GUILDS), (messages, MESSAGES)):
            await raw.receive()
            await raw.identify(loopback.token, intents)
            await raw.event("READY")
        await guilds.event("GUILD_CREATE")
        await loopback.say("hidden", channel_id=hidden.id)
        said = await loopback.say("shown")
        for raw in (guilds, messages):
            await raw.send(1)
        assert (await messages.receive())["d"]["id"] == said["id"]
        assert (await guilds.receive())["op"] == 11


async def test_edits_and_deletions_are_told(loopback: LoopbackDiscord, api: Api) -> None:
    path = f"/channels/{loopback.world.first_channel.id}/messages"
    async with RawGateway.connect(loopback) as raw:
        await raw.receive()
        await raw.identify(loopback.token, MESSAGES)
        await raw.event("READY")
        _, message = await api("POST", path, json={"content": "one"})
        await api("PATCH", f"{path}/{message['id']}", json={"content": "two"})
        await api("DELETE", f"{path}/{message['id']}")
        created, updated, deleted = [await raw.receive() for _ in range(3)]
    assert (created["t"], created["d"]["content"]) == ("MESSAGE_CREATE", "one")
    assert (updated["t"], updated["d"]["content"]) == ("MESSAGE_UPDATE", "two")
    assert (deleted["t"], deleted["d"]["id"]) == ("MESSAGE_DELETE", message["id"])
    assert created["d"]["guild_id"] == str(loopback.world.guild_id)


async def test_members_on_request(loopback: LoopbackDiscord, raw: RawGateway) -> None:
    people = list(loopback.world.people)
    await raw.identify(loopback.token)
    guild_id = str(loopback.world.guild_id)
    await raw.send(8, {"guild_id": guild_id, "user_ids": [str(people[1]), "1"], "nonce": "n"})
    chunk = (await raw.event("GUILD_MEMBERS_CHUNK"))["d"]
    assert [one["user"]["id"] for one in chunk["members"]] == [str(people[1])]
    assert (chunk["not_found"], chunk["nonce"]) == (["1"], "n")
    await raw.send(8, {"guild_id": guild_id, "query": "cl", "limit": 5})
    chunk = (await raw.event("GUILD_MEMBERS_CHUNK"))["d"]
    assert [one["user"]["username"] for one in chunk["members"]] == ["cleo"]


async def test_discord_py_caches_members_it_may_see(loopback: LoopbackDiscord) -> None:
    loopback.world.privileged_intents = MEMBERS
    intents = discord.Intents.default()
    intents.members = True
    async with running(loopback, intents=intents) as bot:
        await bot.saw("ready")
        guild = bot.get_guild(loopback.world.guild_id)
        assert guild is not None
        assert {member.name for member in guild.members} == {"ada", "ben", "cleo", "mia", "imagine"}


async def test_server_that_stops_says_so(serve: Serve) -> None:
    loopback = await serve(LoopbackDiscord())
    async with RawGateway.connect(loopback) as raw:
        await raw.receive()
        code, _ = await asyncio.gather(raw.closed(), loopback.close())
        assert code == 1001
