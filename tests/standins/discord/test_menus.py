"""Commands in the menu of a message and of a person, and choices in messages."""

from collections.abc import Callable
from typing import Any

import discord
import pytest
from discord import app_commands

from standins.base.wire import Json
from standins.discord import CommandRefused, LoopbackDiscord
from standins.discord.messages import CONTEXT_MENU_COMMAND
from tests.standins.discord.bodies import first_error, row
from tests.standins.discord.cards import Card, files, png
from tests.standins.discord.client import Api, Bot, Interaction, Post
from tests.standins.discord.people import ADA, BEN, MIA


@pytest.fixture
def path(loopback: LoopbackDiscord) -> str:
    return f"/applications/{loopback.world.application_id}/commands"


def entry(name: str = "Show Recipe", kind: int = 3, **more: Any) -> Json:
    return {"name": name, "type": kind, **more}


async def synced(bot: Bot, name: str, callback: Callable[..., Any]) -> None:
    bot.tree.add_command(app_commands.ContextMenu(name=name, callback=callback))
    await bot.tree.sync()


async def test_a_message_comes_whole(loopback: LoopbackDiscord, bot: Bot) -> None:
    seen: list[discord.Message] = []

    async def look(interaction: Interaction, message: discord.Message) -> None:
        seen.append(message)
        await interaction.response.send_message("looked", ephemeral=True)

    await synced(bot, "Show Recipe", look)
    said = await loopback.say("a **fox**", user_id=BEN)
    place = bot.get_partial_messageable(loopback.world.first_channel.id)
    card = await place.send(view=Card(["a.png"]), files=files("a.png"))
    plain = await place.send("pictures", files=files("b.png"))
    for number in (int(said["id"]), card.id, plain.id):
        interaction = await loopback.use_on_message(number, "Show Recipe", user_id=MIA)
        answer = await interaction.until(lambda message: message["content"] == "looked")
        assert answer["type"] == CONTEXT_MENU_COMMAND
        told = answer["interaction_metadata"]
        assert (told["target_message_id"], told["user"]["id"]) == (str(number), str(MIA))
    assert (seen[0].content, seen[0].author.id) == ("a **fox**", BEN)
    assert seen[1].flags.components_v2
    assert [type(item).__name__ for item in seen[1].components] == ["Container", "SectionComponent"]
    assert await seen[2].attachments[0].read() == png()


async def test_a_person_comes_with_their_membership(loopback: LoopbackDiscord, bot: Bot) -> None:
    seen: list[discord.Member] = []

    async def greet(interaction: Interaction, member: discord.Member) -> None:
        seen.append(member)
        await interaction.response.send_message("greeted")

    await synced(bot, "Say Hello", greet)
    interaction = await loopback.use_on_person(BEN, "Say Hello")
    message = await interaction.until(lambda message: message["content"] == "greeted")
    assert message["interaction_metadata"]["target_user"]["id"] == str(BEN)
    assert seen[0].id == BEN


async def test_menu_entries_that_are_not_there(
    loopback: LoopbackDiscord, api: Api, path: str, bot: Bot
) -> None:
    async def whisper(interaction: Interaction) -> None:
        await interaction.response.send_message("psst", ephemeral=True)

    bot.handler = whisper
    command = await loopback.slash("imagine", {"prompt": "x"})
    private = await command.until(lambda message: bool(message["content"]))
    ban_members = 1 << 2
    await api("PUT", path, json=[entry(default_member_permissions=ban_members), entry("Free")])
    said = int((await loopback.say("hello"))["id"])
    with pytest.raises(CommandRefused, match="Ben may not use Show Recipe"):
        await loopback.use_on_message(said, "Show Recipe", user_id=BEN)
    with pytest.raises(CommandRefused, match="no command Other"):
        await loopback.use_on_message(said, "Other")
    with pytest.raises(CommandRefused, match="no command Free"):
        await loopback.use_on_person(BEN, "Free")
    with pytest.raises(CommandRefused, match="gone"):
        await loopback.use_on_message(7, "Free")
    with pytest.raises(CommandRefused, match="no apps"):
        await loopback.use_on_message(int(private["id"]), "Free", user_id=ADA)


async def test_names_of_every_kind_are_their_own(api: Api, path: str) -> None:
    both = [entry("Same"), entry("Same", 2), {"name": "same", "description": "x"}]
    status, stored = await api("PUT", path, json=both)
    assert status == 200
    assert [(one["type"], one["description"]) for one in stored] == [(3, ""), (2, ""), (1, "x")]
    again = [*both, entry("Same")]
    _, body = await api("PUT", path, json=again)
    assert first_error(body, 3, "name") == "APPLICATION_COMMANDS_DUPLICATE_NAME"


@pytest.mark.parametrize(
    ("command", "where"),
    [
        (entry(""), "name"),
        (entry("x" * 33), "name"),
        (entry(description="x"), "description"),
        (entry(options=[{"type": 3, "name": "x", "description": "x"}]), "options"),
    ],
)
async def test_menu_entries_that_are_refused(
    api: Api, path: str, command: Json, where: str
) -> None:
    status, body = await api("POST", path, json=command)
    assert status == 400
    assert first_error(body, where)


async def test_fifteen_entries_a_menu(api: Api, path: str) -> None:
    entries = [entry(f"N {number}", kind) for number in range(15) for kind in (2, 3)]
    assert (await api("PUT", path, json=entries))[0] == 200
    _, body = await api("POST", path, json=entry("one more"))
    assert (body["code"], body["message"].rpartition(" ")[2]) == (30032, "(15)")
    assert (await api("PUT", path, json=[*entries, entry("one more", 2)]))[1]["code"] == 30032


async def test_choices_in_a_message_come_with_what_they_stand_for(
    loopback: LoopbackDiscord, bot: Bot
) -> None:
    seen: list[list[str]] = []
    view = discord.ui.View()
    sizes: discord.ui.Select[Any] = discord.ui.Select(
        custom_id="sizes",
        options=[discord.SelectOption(label=name) for name in "abc"],
        max_values=2,
    )
    people: discord.ui.UserSelect[Any] = discord.ui.UserSelect(custom_id="people")

    async def chosen(interaction: Interaction) -> None:
        seen.append([*sizes.values, *map(str, people.values)])
        await interaction.response.defer()

    for menu in (sizes, people):
        menu.callback = chosen  # type: ignore[method-assign]  # how discord.py lets one be set
        view.add_item(menu)
    place = bot.get_partial_messageable(loopback.world.first_channel.id)
    sent = await place.send("choose", view=view)
    await (await loopback.press(sent.id, "sizes", values=["c", "a"])).settled()
    await (await loopback.press(sent.id, "people", values=[str(BEN)])).settled()
    assert seen == [["c", "a"], ["c", "a", "ben"]]
    for wrong in (["a", "b", "c"], [], ["z"]):
        with pytest.raises(CommandRefused):
            await loopback.press(sent.id, "sizes", values=wrong)
    with pytest.raises(CommandRefused, match="list"):
        await loopback.press(sent.id, "people", values=["7"])


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"options": []}, "options"),
        ({"max_values": 2}, "options"),
        ({"min_values": 2, "max_values": 1}, "min_values"),
        ({"placeholder": "x" * 151}, "placeholder"),
    ],
)
async def test_menus_in_messages_that_are_refused(post: Post, more: Json, code: str) -> None:
    menu = {"type": 3, "custom_id": "x", "options": [{"label": "a", "value": "a"}], **more}
    _, body = await post({"content": "x", "components": [row(menu)]})
    assert first_error(body, "components", 0, "components", 0, code)
