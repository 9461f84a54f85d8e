"""Direct messages, threads, forums, other servers: what each shows the bot, and lets it do."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import discord
import pytest
from discord import app_commands
from hypothesis import given
from hypothesis import strategies as st

from standins.base.wire import Json
from standins.discord import CommandRefused, LoopbackDiscord, ManualClock
from standins.discord.errors import ApiError
from standins.discord.world import (
    ALL_PERMISSIONS,
    ATTACH_FILES,
    DM,
    FORUM,
    GROUP_DM,
    MANAGE_THREADS,
    PRIVATE_CHANNELS,
    PRIVATE_THREAD,
    PUBLIC_THREAD,
    SEND_MESSAGES,
    SEND_MESSAGES_IN_THREADS,
    TEXT,
    USE_EXTERNAL_APPS,
    Channel,
    default_world,
)
from tests.standins.discord.client import Api, Bot, Interaction, Post, online
from tests.standins.discord.people import ADA, BEN

EPHEMERAL = 1 << 6
THREAD, FORUM_ID, POST, BOT_DM, OTHER_DM, GROUP, STRANGE = range(501, 508)
EVERYWHERE = {"contexts": [0, 1, 2], "integration_types": [0, 1]}


@pytest.fixture(autouse=True)
def places(loopback: LoopbackDiscord) -> dict[int, Channel]:
    """One of each; Ben has the application for himself and may show its answers everywhere."""
    world = loopback.world
    found = [
        Channel(THREAD, "thread", kind=PUBLIC_THREAD, parent_id=world.first_channel.id),
        Channel(FORUM_ID, "forum", kind=FORUM),
        Channel(POST, "post", kind=PUBLIC_THREAD, parent_id=FORUM_ID),
        Channel(BOT_DM, "", kind=DM, member_ids=(BEN, world.bot.id)),
        Channel(OTHER_DM, "", kind=DM, member_ids=(BEN, ADA)),
        Channel(GROUP, "us", kind=GROUP_DM, member_ids=(BEN, ADA)),
        Channel(STRANGE, "strange", guild_id=8_000),
    ]
    world.channels |= {channel.id: channel for channel in found}
    world.strange_guild_ids.add(8_000)
    world.people[BEN].has_installed = True
    return world.channels


@pytest.fixture
async def bot(loopback: LoopbackDiscord) -> AsyncIterator[Bot]:
    """A client whose /imagine is offered everywhere and to everybody."""
    bot = Bot()
    bot.tree.allowed_contexts = app_commands.AppCommandContext(
        guild=True, dm_channel=True, private_channel=True
    )
    bot.tree.allowed_installs = app_commands.AppInstallationType(guild=True, user=True)
    async with online(bot, loopback):
        yield bot


async def asked(
    loopback: LoopbackDiscord, bot: Bot, channel_id: int, *, user_id: int = BEN
) -> Interaction:
    """What the bot hears of a command there."""
    heard: asyncio.Queue[Interaction] = asyncio.Queue()

    async def hear(interaction: Interaction) -> None:
        await interaction.response.defer(thinking=True)
        heard.put_nowait(interaction)

    bot.handler = hear
    await loopback.slash("imagine", {"prompt": "x"}, user_id=user_id, channel_id=channel_id)
    return await heard.get()


@pytest.mark.parametrize(
    ("place", "kind", "context", "owners"),
    [
        (THREAD, discord.Thread, 0, {0: 900_000_000_000_000_100, 1: BEN}),
        (POST, discord.Thread, 0, {0: 900_000_000_000_000_100, 1: BEN}),
        (STRANGE, discord.TextChannel, 0, {1: BEN}),
        (BOT_DM, discord.DMChannel, 1, {0: 0, 1: BEN}),
        (OTHER_DM, discord.DMChannel, 2, {1: BEN}),
        (GROUP, discord.GroupChannel, 2, {1: BEN}),
    ],
)
async def test_each_place_says_what_it_is(
    loopback: LoopbackDiscord,
    bot: Bot,
    place: int,
    kind: type[Any],
    context: int,
    owners: dict[int, int],
) -> None:
    loopback.world.people[BEN].locale = "de"
    heard = await asked(loopback, bot, place)
    assert type(heard.channel) is kind
    assert heard.channel is not None
    assert heard.channel.id == place
    flags = (heard.context.guild, heard.context.dm_channel, heard.context.private_channel)
    assert [at for at, flag in enumerate(flags) if flag] == [context]
    assert heard._integration_owners == owners
    assert isinstance(heard.user, discord.Member) == (context == 0)
    assert (heard.guild_id is None) == (context != 0)
    assert (heard.locale, heard.guild_locale is None) == (discord.Locale.german, context != 0)
    assert heard.app_permissions.attach_files
    assert heard.app_permissions.send_messages == (place in {THREAD, POST})


async def test_the_parent_of_a_thread_decides_what_may_be_done_in_it(
    loopback: LoopbackDiscord, bot: Bot
) -> None:
    loopback.world.first_channel.bot_permissions &= ~ATTACH_FILES
    heard = await asked(loopback, bot, THREAD)
    assert isinstance(heard.channel, discord.Thread)
    assert heard.channel.parent_id == loopback.world.first_channel.id
    assert not heard.app_permissions.attach_files
    assert (await asked(loopback, bot, POST)).app_permissions.attach_files


@pytest.mark.parametrize("place", [OTHER_DM, GROUP, STRANGE])
async def test_where_the_bot_is_no_member_only_the_token_opens_anything(
    loopback: LoopbackDiscord, bot: Bot, api: Api, clock: ManualClock, place: int
) -> None:
    heard = await asked(loopback, bot, place)
    edited = await heard.edit_original_response(content="seen")
    path = f"/channels/{place}/messages"
    one = f"{path}/{edited.id}"
    for method, at in (("GET", path), ("POST", path), ("GET", one), ("PATCH", one)):
        status, answer = await api(method, at, json={"content": "x"})
        assert (status, answer["code"]) == (403, 50001)
    clock.advance(15 * 60)
    with pytest.raises(discord.HTTPException) as late:
        await heard.edit_original_response(content="late")
    assert late.value.code == 50027


async def test_the_bots_own_token_opens_direct_messages_with_it(
    loopback: LoopbackDiscord, bot: Bot, clock: ManualClock
) -> None:
    heard = await asked(loopback, bot, BOT_DM)
    edited = await heard.edit_original_response(content="seen")
    await loopback.say("hello", user_id=BEN, channel_id=BOT_DM)
    while (message := (await bot.saw("message"))[0]).author.id != BEN:
        pass
    assert (message.content, message.guild) == ("hello", None)
    clock.advance(15 * 60)
    channel = bot.get_partial_messageable(BOT_DM)
    await channel.get_partial_message(edited.id).edit(content="later")
    await channel.send("more")
    said = [one["content"] for one in loopback.history(BOT_DM, BEN)]
    assert said == ["later", "hello", "more"]


@pytest.mark.parametrize(("place", "limited"), [(OTHER_DM, True), (STRANGE, True), (THREAD, False)])
async def test_a_persons_own_application_follows_up_five_times(
    loopback: LoopbackDiscord, bot: Bot, place: int, limited: bool
) -> None:
    heard = await asked(loopback, bot, place)
    await heard.edit_original_response(content="seen")
    for _ in range(5):
        await heard.followup.send("more")
    if not limited:
        await heard.followup.send("and more")
        return
    with pytest.raises(discord.HTTPException) as refused:
        await heard.followup.send("too much")
    assert refused.value.code == 40094


@pytest.mark.parametrize("may_show", [True, False])
async def test_a_server_may_keep_such_answers_to_the_one_who_asked(
    loopback: LoopbackDiscord, bot: Bot, may_show: bool
) -> None:
    world = loopback.world
    if not may_show:
        world.roles[world.guild_id].permissions &= ~USE_EXTERNAL_APPS
    await asked(loopback, bot, STRANGE)
    seen = [len(loopback.history(STRANGE, viewer)) for viewer in (BEN, ADA)]
    assert seen == ([1, 1] if may_show else [1, 0])
    [message] = loopback.history(STRANGE, BEN)
    assert bool(message["flags"] & EPHEMERAL) != may_show
    here = await asked(loopback, bot, world.first_channel.id)  # where the server has it as well
    assert not (await here.edit_original_response(content="seen")).flags.ephemeral


@pytest.mark.parametrize(
    ("command", "place", "who", "words"),
    [
        ({"contexts": [0]}, BOT_DM, BEN, "in a place of this kind"),
        ({"contexts": [1]}, OTHER_DM, BEN, "in a place of this kind"),
        ({"contexts": [1]}, THREAD, BEN, "in a place of this kind"),
        ({"dm_permission": False}, BOT_DM, BEN, "in a place of this kind"),
        ({"integration_types": [0]}, STRANGE, BEN, "not installed"),
        ({"integration_types": [0]}, OTHER_DM, BEN, "not installed"),
        (EVERYWHERE, STRANGE, ADA, "not installed"),
        (EVERYWHERE, BOT_DM, ADA, "not in that channel"),
        (EVERYWHERE, FORUM_ID, BEN, "in its posts"),
        ({"nsfw": True}, THREAD, BEN, "age-restricted"),
    ],
)
async def test_a_command_is_offered_where_it_was_registered_for(
    loopback: LoopbackDiscord, api: Api, command: Json, place: int, who: int, words: str
) -> None:
    path = f"/applications/{loopback.world.application_id}/commands"
    plain = {"name": "imagine", "description": "x"}
    assert (await api("PUT", path, json=[{**plain, **command}]))[0] == 200
    with pytest.raises(CommandRefused, match=words):
        await loopback.slash("imagine", {}, user_id=who, channel_id=place)


async def test_an_age_restricted_command_is_offered_below_an_age_restricted_channel(
    loopback: LoopbackDiscord, api: Api
) -> None:
    path = f"/applications/{loopback.world.application_id}/commands"
    await api("PUT", path, json=[{"name": "imagine", "description": "x", "nsfw": True}])
    loopback.world.first_channel.nsfw = True
    await loopback.slash("imagine", {}, channel_id=THREAD)


async def test_a_guilds_own_command_is_in_that_guild_alone(
    loopback: LoopbackDiscord, api: Api
) -> None:
    world = loopback.world
    path = f"/applications/{world.application_id}/guilds/{world.guild_id}/commands"
    await api("PUT", path, json=[{"name": "imagine", "description": "x"}])
    await loopback.slash("imagine", {}, channel_id=THREAD)
    for place in (STRANGE, BOT_DM):
        with pytest.raises(CommandRefused, match="no command /imagine here"):
            await loopback.slash("imagine", {}, user_id=BEN, channel_id=place)


def code(answer: tuple[int, Any]) -> int:
    return 0 if answer[0] < 300 else int(answer[1]["code"])


async def test_writing_in_a_thread_is_a_permission_of_its_own(
    loopback: LoopbackDiscord, api: Api, channel: str
) -> None:
    path, body = f"/channels/{THREAD}/messages", {"content": "x"}
    loopback.world.take_from_bot(SEND_MESSAGES)
    assert code(await api("POST", path, json=body)) == 0
    assert code(await api("POST", f"{channel}/messages", json=body)) == 50013
    loopback.world.take_from_bot(SEND_MESSAGES_IN_THREADS)
    assert code(await api("POST", path, json=body)) == 50013
    assert code(await api("POST", f"/channels/{FORUM_ID}/messages", json=body)) == 50013


async def test_a_forum_takes_no_message_but_in_its_posts(
    loopback: LoopbackDiscord, api: Api
) -> None:
    body = {"content": "x"}
    assert code(await api("POST", f"/channels/{FORUM_ID}/messages", json=body)) == 50008
    assert code(await api("POST", f"/channels/{POST}/messages", json=body)) == 0


async def test_an_archived_thread_is_opened_by_a_new_message_and_not_by_a_change(
    loopback: LoopbackDiscord, bot: Bot, api: Api, places: dict[int, Channel]
) -> None:
    path, body = f"/channels/{THREAD}/messages", {"content": "x"}
    _, message = await api("POST", path, json=body)
    loopback.change_channel(places[THREAD], archived=True)
    assert code(await api("PATCH", f"{path}/{message['id']}", json=body)) == 50083
    with pytest.raises(CommandRefused, match="closed"):
        await loopback.slash("imagine", {"prompt": "x"}, channel_id=THREAD, user_id=BEN)
    _, answer = await api("GET", f"/channels/{THREAD}")
    assert answer["thread_metadata"]["archived"]
    assert code(await api("POST", path, json=body)) == 0
    assert not places[THREAD].archived
    assert code(await api("PATCH", f"{path}/{message['id']}", json=body)) == 0
    assert (await asked(loopback, bot, THREAD)).channel_id == THREAD


async def test_a_locked_thread_is_closed_to_all_but_those_who_manage_threads(
    loopback: LoopbackDiscord, api: Api, places: dict[int, Channel], bot: Bot
) -> None:
    path, body = f"/channels/{THREAD}/messages", {"content": "x"}
    heard = await asked(loopback, bot, THREAD)
    message = await heard.edit_original_response(content="seen")
    loopback.change_channel(places[THREAD], locked=True)
    assert code(await api("POST", path, json=body)) == 160005
    assert code(await api("PATCH", f"{path}/{message.id}", json=body)) == 160005
    with pytest.raises(discord.HTTPException) as refused:
        await heard.edit_original_response(content="by token")
    assert refused.value.code == 160005
    with pytest.raises(ApiError, match="160005"):
        await loopback.say("x", user_id=BEN, channel_id=THREAD)
    loopback.change_channel(places[THREAD], archived=True)
    assert code(await api("POST", path, json=body)) == 50083
    loopback.world.roles[loopback.world.bot.role_ids[0]].permissions |= MANAGE_THREADS
    assert code(await api("POST", path, json=body)) == 0
    assert code(await api("PATCH", f"{path}/{message.id}", json=body)) == 0


async def test_a_private_thread_is_its_members(
    loopback: LoopbackDiscord, bot: Bot, api: Api, places: dict[int, Channel]
) -> None:
    parent_id = loopback.world.first_channel.id
    private = Channel(509, "us", kind=PRIVATE_THREAD, parent_id=parent_id, member_ids=(BEN,))
    loopback.change_channel(private)
    with pytest.raises(CommandRefused, match="not in that channel"):
        await loopback.slash("imagine", {"prompt": "x"}, user_id=ADA, channel_id=509)
    heard = await asked(loopback, bot, 509)
    assert heard.app_permissions.view_channel  # as its parent has it, whoever is in the thread
    await heard.edit_original_response(content="by token")
    assert code(await api("GET", "/channels/509/messages")) == 50001
    private.member_ids = (BEN, loopback.world.bot.id)
    assert code(await api("GET", "/channels/509/messages")) == 0


async def test_threads_that_are_open_come_with_the_guild(
    loopback: LoopbackDiscord, places: dict[int, Channel], post: Post
) -> None:
    places[POST].archived = True
    bot = Bot()
    async with online(bot, loopback):
        await bot.saw("ready")
        guild = bot.get_guild(loopback.world.guild_id)
        assert guild is not None
        assert [thread.id for thread in guild.threads] == [THREAD]
        assert {type(one) for one in guild.channels} == {discord.TextChannel, discord.ForumChannel}
        assert code(await post({"content": "x"})) == 0


async def test_a_press_comes_by_the_installation_of_what_it_is_on(
    loopback: LoopbackDiscord, bot: Bot
) -> None:
    heard = await asked(loopback, bot, GROUP)
    view = discord.ui.View(timeout=None)
    view.add_item(discord.ui.Button(label="On", custom_id="on"))
    message = await heard.edit_original_response(content="seen", view=view)
    press = await loopback.press(message.id, "on", user_id=ADA)
    assert press.owners == {"1": str(BEN)}


@given(
    left=st.integers(0, ALL_PERMISSIONS),
    kind=st.sampled_from([TEXT, DM, GROUP_DM, PUBLIC_THREAD, PRIVATE_THREAD]),
    in_parent=st.booleans(),
    is_member=st.booleans(),
    is_inside=st.booleans(),
)
def test_the_bots_own_token_opens_no_more_of_a_server_than_an_interaction_tells(
    *, left: int, kind: int, in_parent: bool, is_member: bool, is_inside: bool
) -> None:
    world = default_world()
    world.bot_is_member = is_member
    world.first_channel.bot_permissions = left
    place = Channel(501, "", kind=kind, member_ids=(BEN, world.bot.id) if is_inside else (BEN,))
    place.parent_id = world.first_channel.id if kind not in PRIVATE_CHANNELS and in_parent else None
    place.bot_permissions = ALL_PERMISSIONS if place.parent_id else left
    own = world.bot_permissions(place)
    if not world.has_bot(place):
        assert own == 0
    elif kind not in PRIVATE_CHANNELS:
        assert own in {0, world.app_permissions(place, world.people[BEN])}
        assert own & ~left == 0
    if kind in PRIVATE_CHANNELS:
        assert bool(own) == is_inside
        assert world.app_permissions(place, world.people[BEN]) & ATTACH_FILES
