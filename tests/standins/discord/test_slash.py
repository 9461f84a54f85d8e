"""The main road: a person types /imagine, the bot defers, edits and sends its files."""

import asyncio
import io
import zlib
from collections.abc import Sequence

import discord
import pytest
from PIL import Image

from standins.base.wire import Json
from standins.discord import CommandRefused, InteractionFailed, LoopbackDiscord, ManualClock
from tests.standins.discord.client import Api, Bot, Interaction


def png(colour: str, size_px: tuple[int, int] = (8, 6)) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size_px, colour).save(buffer, "PNG")
    return buffer.getvalue()


PICTURES = [png(colour) for colour in ("red", "green", "blue", "white")]


async def draw(interaction: Interaction) -> None:
    await interaction.response.defer(thinking=True)
    files = [
        discord.File(io.BytesIO(data), f"job_{place}.png", description=f"picture {place}")
        for place, data in enumerate(PICTURES)
    ]
    await interaction.edit_original_response(content="done", attachments=files)


async def test_four_attachments_come_back_byte_for_byte(
    loopback: LoopbackDiscord, bot: Bot
) -> None:
    bot.handler = draw
    interaction = await loopback.slash("imagine", {"prompt": "a fox", "steps": 5})
    message = await interaction.until(lambda message: len(message["attachments"]) == 4)
    assert await bot.saw("imagine") == ("a fox", 5)
    assert message["content"] == "done"
    assert interaction.state == "answered"
    for place, attachment in enumerate(message["attachments"]):
        assert await loopback.download(attachment) == PICTURES[place]
        assert attachment["filename"] == f"job_{place}.png"
        assert attachment["description"] == f"picture {place}"
        assert (attachment["width"], attachment["height"]) == (8, 6)
        assert attachment["content_type"] == "image/png"


async def test_people_see_thinking_then_the_answer(loopback: LoopbackDiscord, bot: Bot) -> None:
    bot.handler = draw
    async with loopback.subscribe() as events:
        interaction = await loopback.slash("imagine", {"prompt": "a fox"})
        asked = await events.get()
        assert (asked.kind, asked.message["state"]) == ("interaction_create", "waiting")
        assert asked.viewer_id == interaction.user_id
        thinking, answer = await events.get(), await events.get()
    assert thinking.kind == "message_create"
    assert thinking.message["flags"] == 128
    assert thinking.message["interaction_metadata"]["user"]["id"] == str(interaction.user_id)
    assert answer.kind == "message_update"
    assert answer.message["flags"] == 0
    assert answer.message["id"] == thinking.message["id"]
    assert loopback.history(interaction.channel_id) == [answer.message]


async def test_bot_reads_what_the_person_typed_and_where(
    loopback: LoopbackDiscord, bot: Bot
) -> None:
    channel = list(loopback.world.channels.values())[1]
    ben = next(one for one in loopback.world.people.values() if one.username == "ben")
    told: asyncio.Queue[Interaction] = asyncio.Queue()

    async def note(interaction: Interaction) -> None:
        await interaction.response.send_message("noted", ephemeral=True)
        told.put_nowait(interaction)

    bot.handler = note
    await loopback.slash("imagine", {"prompt": "x"}, user_id=ben.id, channel_id=channel.id)
    interaction = await told.get()
    assert interaction.user.id == ben.id
    assert isinstance(interaction.user, discord.Member)
    assert isinstance(interaction.channel, discord.TextChannel)
    assert interaction.channel.name == channel.name
    assert interaction.guild is not None
    assert interaction.guild.name == loopback.world.guild_name
    assert interaction.filesize_limit == loopback.attachment_size_limit_bytes
    assert interaction.app_permissions.attach_files
    assert not interaction.is_expired()


async def test_ephemeral_answer_is_for_one_person(
    loopback: LoopbackDiscord, bot: Bot, api: Api
) -> None:
    async def whisper(interaction: Interaction) -> None:
        await interaction.response.defer(ephemeral=True)
        await interaction.edit_original_response(content="psst")

    bot.handler = whisper
    interaction = await loopback.slash("imagine", {"prompt": "x"})
    message = await interaction.until(lambda message: message["content"] == "psst")
    assert message["flags"] == 64
    someone_else = list(loopback.world.people)[2]
    assert loopback.history(interaction.channel_id) == []
    assert loopback.history(interaction.channel_id, someone_else) == []
    assert loopback.history(interaction.channel_id, interaction.user_id) == [message]
    path = f"/channels/{interaction.channel_id}/messages/{message['id']}"
    status, body = await api("GET", path)
    assert (status, body["code"]) == (404, 10008)
    with pytest.raises(CommandRefused, match="gone"):
        await loopback.press(int(message["id"]), "x", user_id=someone_else)


async def test_first_followup_takes_the_place_of_thinking(
    loopback: LoopbackDiscord, bot: Bot
) -> None:
    sent: asyncio.Queue[int] = asyncio.Queue()

    async def follow(interaction: Interaction) -> None:
        await interaction.response.defer(thinking=True)
        sent.put_nowait((await interaction.followup.send("one", wait=True)).id)
        sent.put_nowait((await interaction.followup.send("two", wait=True)).id)

    bot.handler = follow
    interaction = await loopback.slash("imagine", {"prompt": "x"})
    message = await interaction.until(lambda message: message["content"] == "one")
    assert message["id"] == str(await sent.get())
    second = await sent.get()
    assert [one["id"] for one in interaction.followups] == [str(second)]
    assert interaction.followups[0]["message_reference"]["message_id"] == message["id"]


async def test_followups_can_be_edited_and_deleted(loopback: LoopbackDiscord, bot: Bot) -> None:
    done = asyncio.Event()

    async def follow(interaction: Interaction) -> None:
        await interaction.response.send_message("hello")
        followup = await interaction.followup.send("one", wait=True)
        await followup.edit(content="two")
        assert interaction_.followups[0]["content"] == "two"
        await followup.delete()
        done.set()

    bot.handler = follow
    interaction_ = await loopback.slash("imagine", {"prompt": "x"})
    await done.wait()
    assert interaction_.followups == []


async def test_deleted_answer_ends_the_wait(loopback: LoopbackDiscord, bot: Bot) -> None:
    async def regret(interaction: Interaction) -> None:
        await interaction.response.send_message("hello")
        await interaction.delete_original_response()

    bot.handler = regret
    interaction = await loopback.slash("imagine", {"prompt": "x"})
    with pytest.raises(InteractionFailed, match="was deleted"):
        await interaction.until(lambda message: message["content"] == "never")
    assert interaction.original is None
    assert loopback.history(interaction.channel_id) == []


async def test_no_answer_in_three_seconds(
    loopback: LoopbackDiscord, bot: Bot, clock: ManualClock
) -> None:
    told = asyncio.Event()

    async def sleep(interaction: Interaction) -> None:
        told.set()

    bot.handler = sleep
    async with loopback.subscribe() as events:
        interaction = await loopback.slash("imagine", {"prompt": "x"})
        waiting = asyncio.create_task(interaction.until(lambda message: True))
        await told.wait()
        clock.advance(3)
        with pytest.raises(InteractionFailed, match="did not respond"):
            await waiting
        assert [(await events.get()).kind for _ in range(2)] == [
            "interaction_create",
            "interaction_failed",
        ]
    assert interaction.state == "failed"
    with pytest.raises(InteractionFailed):
        await interaction.until(lambda message: True)


Button = discord.ui.Button[discord.ui.View]


class Buttons(discord.ui.View):
    def __init__(self, pressed: asyncio.Event) -> None:
        super().__init__(timeout=None)
        self.pressed = pressed

    @discord.ui.button(label="Again", custom_id="v1:again:7")
    async def again(self, interaction: Interaction, _: Button) -> None:
        await interaction.response.edit_message(content="again!")
        self.pressed.set()

    @discord.ui.button(label="Later", custom_id="v1:later:7")
    async def later(self, interaction: Interaction, _: Button) -> None:
        await interaction.response.defer()
        await interaction.edit_original_response(content="later!")

    @discord.ui.button(label="Mine", custom_id="v1:mine:7")
    async def mine(self, interaction: Interaction, _: Button) -> None:
        await interaction.response.send_message("only yours", ephemeral=True)

    @discord.ui.button(label="Off", custom_id="v1:off:7", disabled=True)
    async def off(self, interaction: Interaction, _: Button) -> None:
        raise AssertionError

    @discord.ui.select(
        custom_id="v1:size:7",
        options=[discord.SelectOption(label="small", value="s"), discord.SelectOption(label="big")],
    )
    async def size(self, interaction: Interaction, select: discord.ui.Select["Buttons"]) -> None:
        await interaction.response.edit_message(content=f"size {select.values[0]}")


@pytest.fixture
async def card(loopback: LoopbackDiscord, bot: Bot) -> Json:
    """A message with buttons."""
    pressed = asyncio.Event()

    async def show(interaction: Interaction) -> None:
        await interaction.response.send_message("card", view=Buttons(pressed))

    bot.handler = show
    interaction = await loopback.slash("imagine", {"prompt": "x"})
    return await interaction.until(lambda message: message["components"])


async def test_press_edits_the_message(loopback: LoopbackDiscord, card: Json) -> None:
    press = await loopback.press(int(card["id"]), "v1:again:7")
    message = await press.until(lambda message: message["content"] == "again!")
    assert message["id"] == card["id"]
    assert press.state == "answered"


async def test_press_deferred_then_edited(loopback: LoopbackDiscord, card: Json) -> None:
    press = await loopback.press(int(card["id"]), "v1:later:7")
    message = await press.until(lambda message: message["content"] == "later!")
    assert message["id"] == card["id"]


async def test_old_presses_let_go_of_the_message(
    loopback: LoopbackDiscord, card: Json, clock: ManualClock
) -> None:
    message_id = int(card["id"])
    press = await loopback.press(message_id, "v1:again:7")
    await press.until(lambda message: message["content"] == "again!")
    message = loopback._messages.find(message_id)
    assert message is not None
    assert len(message.on_change) == 2
    clock.advance(15 * 60)
    assert len(message.on_change) == 1


async def test_press_answered_for_one_person(loopback: LoopbackDiscord, card: Json) -> None:
    ben = list(loopback.world.people)[1]
    press = await loopback.press(int(card["id"]), "v1:mine:7", user_id=ben)
    message = await press.until(lambda message: True)
    assert (message["content"], message["flags"]) == ("only yours", 64)
    assert message["message_reference"]["message_id"] == card["id"]
    channel_id = int(card["channel_id"])
    assert [one["id"] for one in loopback.history(channel_id, ben)] == [card["id"], message["id"]]


async def test_choice_of_a_select_menu(loopback: LoopbackDiscord, card: Json) -> None:
    choice = await loopback.press(int(card["id"]), "v1:size:7", values=["s"])
    assert await choice.until(lambda message: message["content"] == "size s")


@pytest.mark.parametrize(
    ("custom_id", "values", "why"),
    [
        ("v1:off:7", (), "disabled"),
        ("v1:none:7", (), "nothing to press"),
        ("v1:size:7", (), "Choose 1 to 1"),
        ("v1:size:7", ("huge",), "not on the list"),
    ],
)
async def test_refused_presses(
    loopback: LoopbackDiscord, card: Json, custom_id: str, values: Sequence[str], why: str
) -> None:
    with pytest.raises(CommandRefused, match=why):
        await loopback.press(int(card["id"]), custom_id, values=values)


@pytest.mark.parametrize(
    ("line", "options", "why"),
    [
        ("draw", {}, "no command /draw"),
        ("imagine", {}, "required: prompt"),
        ("imagine", {"prompt": "  "}, "required: prompt"),
        ("imagine", {"prompt": 7}, "prompt: enter text"),
        ("imagine", {"prompt": "x" * 1_001}, "1 to 1000 characters, not 1001"),
        ("imagine", {"prompt": "x", "steps": 51}, "from 1 to 50"),
        ("imagine", {"prompt": "x", "steps": 0}, "from 1 to 50"),
        ("imagine", {"prompt": "x", "steps": "5"}, "a whole number"),
        ("imagine", {"prompt": "x", "steps": True}, "a whole number"),
        ("imagine", {"prompt": "x", "colour": "red"}, "no option colour"),
        ("imagine twice", {"prompt": "x"}, "no subcommand twice"),
    ],
)
async def test_refused_commands_never_reach_the_bot(
    loopback: LoopbackDiscord, bot: Bot, line: str, options: dict[str, object], why: str
) -> None:
    with pytest.raises(CommandRefused, match=why):
        await loopback.slash(line, options)
    assert loopback.history(loopback.world.first_channel.id) == []
    seen = [bot.seen.get_nowait()[0] for _ in range(bot.seen.qsize())]
    assert "imagine" not in seen


async def test_wait_for_takes_the_first_event_that_fits(loopback: LoopbackDiscord) -> None:
    waiting = asyncio.create_task(
        loopback.wait_for(lambda event: event.message.get("content") == "two")
    )
    await asyncio.sleep(0)
    await loopback.say("one")
    await loopback.say("two")
    event = await waiting
    assert (event.kind, event.ephemeral) == ("message_create", False)


@pytest.mark.parametrize("side_px", [9_000, 60_000])
async def test_files_with_a_gigantic_header_have_no_size(
    loopback: LoopbackDiscord, bot: Bot, side_px: int
) -> None:
    bomb = bytearray(PICTURES[0])
    bomb[16:24] = side_px.to_bytes(4, "big") * 2  # the width and height in the PNG's IHDR
    bomb[29:33] = zlib.crc32(bomb[12:29]).to_bytes(4, "big")

    async def send(interaction: Interaction) -> None:
        file = discord.File(io.BytesIO(bytes(bomb)), "bomb.png")
        await interaction.response.send_message(file=file)

    bot.handler = send
    interaction = await loopback.slash("imagine", {"prompt": "x"})
    message = await interaction.until(lambda message: message["attachments"])
    assert "width" not in message["attachments"][0]
