"""Direct messages that the bot begins: opened once, refused where a person takes none."""

import asyncio

import aiohttp
import discord
import pytest

from standins.base.wire import Json
from standins.discord import Fault, LoopbackDiscord, ManualClock
from tests.standins.discord.cards import Card, files, png
from tests.standins.discord.client import Answer, Api, Bot, Serve
from tests.standins.discord.people import ADA, BEN

OPEN = "/users/@me/channels"


@pytest.fixture
def opened(api: Api) -> Json:
    """The request that opens direct messages with Ben."""
    return {"recipient_id": str(BEN)}


async def test_they_are_opened_once(loopback: LoopbackDiscord, api: Api, opened: Json) -> None:
    status, first = await api("POST", OPEN, json=opened)
    assert (status, first["type"], first["recipients"][0]["id"]) == (200, 1, str(BEN))
    assert (await api("POST", OPEN, json=opened))[1] == first
    _, adas = await api("POST", OPEN, json={"recipient_id": ADA})
    assert adas["id"] != first["id"]
    assert (await api("GET", f"/channels/{first['id']}"))[1] == first


async def test_the_real_client_writes_to_a_person(loopback: LoopbackDiscord, bot: Bot) -> None:
    user = await bot.fetch_user(BEN)
    plain = await user.send("hello", files=files("a.png"))
    card = await user.send(view=Card(["b.png"], blurred=True), files=files("b.png"))
    assert plain.channel == card.channel
    assert await plain.attachments[0].read() == png()
    seen = loopback.history(plain.channel.id, BEN)
    assert [one["id"] for one in seen] == [str(plain.id), str(card.id)]
    gallery = seen[1]["components"][0]["components"][1]
    assert gallery["items"][0]["spoiler"]
    while (await bot.saw("message"))[0].id != card.id:
        pass
    await card.delete()
    (gone,) = await bot.saw("raw_message_delete")
    assert (gone.message_id, gone.guild_id) == (card.id, None)


async def test_who_takes_none_is_written_to_only_in_answer(
    loopback: LoopbackDiscord, bot: Bot
) -> None:
    user = await bot.fetch_user(BEN)
    first = await user.send("hello")
    loopback.world.people[BEN].takes_messages = False
    assert (await user.create_dm()).id == first.channel.id  # opening them tells nothing yet
    with pytest.raises(discord.Forbidden) as refused:
        await user.send("again")
    assert refused.value.code == 50007
    await first.edit(content="changed")
    interaction = await loopback.slash(
        "imagine", {"prompt": "x"}, user_id=BEN, channel_id=first.channel.id
    )
    assert await asyncio.wait_for(interaction.until(lambda _: True), 5)
    await (await bot.fetch_user(ADA)).send("hello")


async def test_who_shares_no_server_takes_none(
    loopback: LoopbackDiscord, api: Api, opened: Json
) -> None:
    _, channel = await api("POST", OPEN, json=opened)
    loopback.world.bot_is_member = False
    path = f"/channels/{channel['id']}/messages"
    status, body = await api("POST", path, json={"content": "x"})
    assert (status, body["code"]) == (403, 50278)
    loopback.world.people[BEN].has_installed = True
    assert (await api("POST", path, json={"content": "x"}))[0] == 200


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"recipient_id": "1"}, 50033),
        ({"recipient_id": "900000000000000001"}, 50033),  # itself
        ({"recipient_id": "Ben"}, 50033),
        ({}, 50035),
    ],
)
async def test_with_nobody_they_are_not_opened(api: Api, body: Json, code: int) -> None:
    status, answer = await api("POST", OPEN, json=body)
    assert (status, answer["code"]) == (400, code)


async def test_opening_them_is_limited(serve: Serve, clock: ManualClock, opened: Json) -> None:
    limited = await serve(LoopbackDiscord(clock=clock))
    async with aiohttp.ClientSession() as session:
        api = Api(session, limited)
        answers: list[Answer] = [await api("POST", OPEN, json=opened) for _ in range(11)]
        assert [status for status, _ in answers] == [200] * 10 + [429]
        clock.advance(10)
        assert (await api("POST", OPEN, json=opened))[0] == 200


async def test_faults_meet_them(loopback: LoopbackDiscord, bot: Bot) -> None:
    before = len(loopback.world.channels)
    user = await bot.fetch_user(BEN)
    lost = loopback.faults.add(Fault(kind="drop_after", method="POST", route=OPEN))
    with pytest.raises(aiohttp.ClientError):
        await user.send("hello")
    # Whoever lost the answer asks again, and is given what was opened then.
    message = await user.send("hello")
    assert lost.fired == 1
    assert len(loopback.world.channels) == before + 1
    path = f"/channels/{message.channel.id}/messages"
    refused = loopback.faults.add(Fault(kind="status", method="POST", route=path, status=418))
    with pytest.raises(discord.HTTPException) as caught:
        await user.send("again")
    assert (caught.value.status, refused.fired) == (418, 1)
