"""Moderators: who is one, what they delete, and what the bot hears and may still do then."""

import asyncio
from typing import Any

import discord
import pytest
from discord import app_commands

from standins.base.wire import Json
from standins.discord import Channel, CommandRefused, LoopbackDiscord, Upload
from standins.discord.world import MANAGE_MESSAGES, PUBLIC_THREAD
from tests.standins.discord.cards import Card, files
from tests.standins.discord.client import Api, Bot, Interaction, RawGateway, running
from tests.standins.discord.people import ADA, BEN, CLEO, MAX, MIA, MOD_LOG, SKETCHES, TESS

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


async def test_many_are_deleted_together(varied: LoopbackDiscord) -> None:
    async with running(varied) as bot:
        await bot.saw("ready")
        room = bot.get_partial_messageable(varied.world.first_channel.id)
        ids = [(await room.send(view=Card(["a.png"]), files=files("a.png"))).id for _ in range(2)]
        ids.append(int((await varied.say("x", user_id=BEN))["id"]))
        kept = await varied.say("y", user_id=BEN)
        for user_id in (BEN, TESS):
            with pytest.raises(CommandRefused, match="may not delete these"):
                varied.delete_together(ids, user_id=user_id)
        varied.delete_together(ids, user_id=MIA)
        (told,) = await bot.saw("raw_bulk_message_delete")
        assert (told.message_ids, told.channel_id) == (set(ids), room.id)
        assert told.guild_id == varied.world.guild_id
        assert [one["id"] for one in varied.history(room.id)] == [kept["id"]]
        other = await varied.say("z", user_id=BEN, channel_id=SKETCHES)
        for some in ([int(kept["id"])], [int(kept["id"])] * 2, [int(kept["id"]), int(other["id"])]):
            with pytest.raises(CommandRefused, match="2 to 100 messages of one channel"):
                varied.delete_together(some, user_id=MIA)
        with pytest.raises(CommandRefused, match="gone"):
            varied.delete_together([*ids, int(kept["id"])], user_id=MIA)


@pytest.mark.parametrize(("place", "by"), [("imagine", MAX), ("sketches", MAX), ("mod-log", ADA)])
async def test_a_channel_goes_with_all_that_is_in_it(
    varied: LoopbackDiscord, place: str, by: int
) -> None:
    channel = next(one for one in varied.world.channels.values() if one.name == place)
    is_thread = channel.parent_id is not None
    async with running(varied) as bot:
        await bot.saw("ready")
        asked: asyncio.Queue[Interaction] = asyncio.Queue()

        async def answer(interaction: Interaction) -> None:
            await interaction.response.send_message("hello", file=files("a.png")[0])
            asked.put_nowait(interaction)

        bot.handler = answer
        command = await varied.slash("imagine", {"prompt": "x"}, channel_id=channel.id)
        its_own = await asked.get()
        message = await its_own.original_response()
        for user_id in (BEN, MIA):
            with pytest.raises(CommandRefused, match="may not delete this channel"):
                varied.delete_channel(channel.id, user_id=user_id)
        varied.delete_channel(channel.id, user_id=by)
        (gone,) = await bot.saw("raw_thread_delete" if is_thread else "guild_channel_delete")
        assert (gone.thread_id if is_thread else gone.id) == channel.id
        guild = bot.get_guild(varied.world.guild_id)
        assert guild is not None
        assert guild.get_channel_or_thread(channel.id) is None
        assert (SKETCHES in varied.world.channels) == (place == "mod-log")
        assert command.answer is None
        with pytest.raises(KeyError):
            varied.attachment_bytes(message.attachments[0].id)
        room = bot.get_partial_messageable(channel.id)
        for doing, code in (
            (room.send("too late"), 10003),
            (room.get_partial_message(message.id).edit(content="too late"), 10003),
            (its_own.edit_original_response(content="too late"), 10008),
            (its_own.followup.send("too late", wait=True), 10003),
        ):
            with pytest.raises(discord.NotFound) as refused:
                await doing
            assert refused.value.code == code


async def test_direct_messages_are_deleted_by_nobody(loopback: LoopbackDiscord) -> None:
    place = loopback.world.direct_messages(loopback.world.people[ADA])
    with pytest.raises(CommandRefused, match="may not delete this channel"):
        loopback.delete_channel(place.id, user_id=ADA)
    said = await loopback.say("mine", user_id=ADA, channel_id=place.id)
    loopback.delete(int(said["id"]), user_id=ADA)


async def test_a_thread_in_a_hidden_channel_goes_unheard(varied: LoopbackDiscord) -> None:
    world = varied.world
    hidden = Channel(509, "", kind=PUBLIC_THREAD, parent_id=MOD_LOG)
    shown = Channel(510, "", kind=PUBLIC_THREAD, parent_id=world.first_channel.id)
    world.channels |= {one.id: one for one in (hidden, shown)}
    world.channels[MOD_LOG].bot_permissions = 0
    async with RawGateway.connect(varied) as raw, RawGateway.connect(varied) as deaf:
        for one, intents in ((raw, GUILDS), (deaf, MESSAGES)):
            await one.receive()
            await one.identify(varied.token, intents)
            await one.event("READY")
        await raw.event("GUILD_CREATE")
        for thread in (hidden, shown):
            varied.delete_channel(thread.id, user_id=MAX)
        told = await raw.receive()
        assert (told["t"], told["d"]) == (
            "THREAD_DELETE",
            {
                "id": "510",
                "guild_id": str(world.guild_id),
                "parent_id": str(world.first_channel.id),
                "type": PUBLIC_THREAD,
            },
        )
        await deaf.send(1)
        assert (await deaf.receive())["op"] == 11


async def test_the_bot_reads_its_own_messages_and_only_knows_of_others(
    loopback: LoopbackDiscord, api: Api
) -> None:
    path = f"/channels/{loopback.world.first_channel.id}/messages"
    async with RawGateway.connect(loopback) as raw:
        await raw.receive()
        await raw.identify(loopback.token, MESSAGES)
        await raw.event("READY")
        file = Upload("a.txt", "text/plain", b"x")
        await loopback.say("secret", file, user_id=BEN)
        theirs = (await raw.event("MESSAGE_CREATE"))["d"]
        assert theirs["author"]["id"] == str(BEN)
        for part in ("content", "attachments", "embeds", "components"):
            assert not theirs[part]
        layout = {"flags": 1 << 15, "components": [{"type": 10, "content": "mine"}]}
        _, sent = await api("POST", path, json=layout)
        own = (await raw.event("MESSAGE_CREATE"))["d"]
        assert own["components"][0]["content"] == "mine"
        layout["components"] = [{"type": 10, "content": "changed"}]
        await api("PATCH", f"{path}/{sent['id']}", json=layout)
        own = (await raw.event("MESSAGE_UPDATE"))["d"]
        assert own["components"][0]["content"] == "changed"


async def test_what_one_person_sees_goes_unheard(loopback: LoopbackDiscord, bot: Bot) -> None:
    asked: asyncio.Queue[Interaction] = asyncio.Queue()

    async def whisper(interaction: Interaction) -> None:
        await interaction.response.send_message("psst", ephemeral=True)
        asked.put_nowait(interaction)

    bot.handler = whisper
    await loopback.slash("imagine", {"prompt": "x"}, user_id=BEN)
    await (await asked.get()).delete_original_response()
    said = await loopback.say("x", user_id=BEN)
    loopback.delete(int(said["id"]), user_id=MIA)
    (deleted,) = await bot.saw("raw_message_delete")
    assert deleted.message_id == int(said["id"])


async def test_anybody_reports_a_card_and_moderators_see_it_in_their_log(
    varied: LoopbackDiscord,
) -> None:
    reports: asyncio.Queue[discord.Message] = asyncio.Queue()

    class Reason(discord.ui.Modal, title="Report"):
        reason: discord.ui.TextInput[Any] = discord.ui.TextInput(label="Why", custom_id="why")

        def __init__(self, about: discord.Message, by: int) -> None:
            # Each its own: discord.py forgets by this id the dialog that is over, and would forget
            # another's that was opened meanwhile.
            super().__init__(custom_id=f"report by {by}")
            self.about = about

        async def on_submit(self, interaction: Interaction) -> None:
            await interaction.response.send_message("Thank you", ephemeral=True)
            log = interaction.client.get_partial_messageable(MOD_LOG)
            card = Card(["a.png"], blurred=True)
            card.add_item(discord.ui.TextDisplay(f"{self.about.id}: {self.reason.value}"))
            sent = [await log.send(view=card, files=files("a.png"), nonce=7) for _ in range(2)]
            assert sent[0].id == sent[1].id  # discord.py has the nonce enforced
            reports.put_nowait(sent[0])

    async def report(interaction: Interaction, message: discord.Message) -> None:
        assert message.flags.components_v2
        await interaction.response.send_modal(Reason(message, interaction.user.id))

    async with running(varied) as bot:
        bot.tree.add_command(app_commands.ContextMenu(name="Report", callback=report))
        await bot.tree.sync()
        room = bot.get_partial_messageable(SKETCHES)
        shown = await room.send(view=Card(["a.png"]), files=files("a.png"))
        for user_id in (CLEO, TESS, MIA):
            interaction = await varied.use_on_message(shown.id, "Report", user_id=user_id)
            answer = await varied.submit(await interaction.dialog(), {"why": "it is rude"})
            await answer.until(lambda message: message["content"] == "Thank you")
        logged = [await reports.get() for _ in range(3)]
        assert len({one.id for one in logged}) == 1
        [seen] = varied.history(MOD_LOG, MIA)
        assert seen["components"][-1]["content"] == f"{shown.id}: it is rude"
        with pytest.raises(CommandRefused, match="not in that channel"):
            await varied.press(logged[0].id, "recipe", user_id=CLEO)
        pressed = await varied.press(logged[0].id, "recipe", user_id=MIA)
        await pressed.until(lambda message: message["content"] == "recipe it is")


async def test_a_bot_that_moderates_deletes_too(loopback: LoopbackDiscord, api: Api) -> None:
    said = await loopback.say("x", user_id=BEN)
    path = f"/channels/{said['channel_id']}/messages/{said['id']}"
    assert (await api("DELETE", path))[1]["code"] == 50013
    loopback.world.roles[loopback.world.bot.role_ids[0]].permissions |= MANAGE_MESSAGES
    assert (await api("DELETE", path))[0] == 204
