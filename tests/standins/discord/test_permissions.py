"""Roles and overwrites of channels: who sees what, who may do what, what the bot is told of it."""

import asyncio

import discord
import pytest
from hypothesis import given
from hypothesis import strategies as st

from standins.discord import CommandRefused, LoopbackDiscord, Overwrite
from standins.discord.world import (
    ADMINISTRATOR,
    ALL_PERMISSIONS,
    ATTACH_FILES,
    MANAGE_MESSAGES,
    SEND_MESSAGES,
    SEND_MESSAGES_IN_THREADS,
    VIEW_CHANNEL,
    default_world,
    varied_world,
)
from tests.standins.discord.client import Bot, Interaction, RawGateway, running
from tests.standins.discord.people import (
    ADA,
    BEN,
    CLEO,
    MANAGERS,
    MAX,
    MIA,
    MOD_LOG,
    PAINTERS,
    SKETCHES,
    TESS,
    TRUSTED,
)

BITS = st.integers(0, ALL_PERMISSIONS)
OVERWRITES = st.builds(Overwrite, BITS, BITS)


async def test_discord_py_works_out_the_same(varied: LoopbackDiscord) -> None:
    world = varied.world
    tangled = {
        world.guild_id: Overwrite(deny=VIEW_CHANNEL | ATTACH_FILES),
        TRUSTED: Overwrite(VIEW_CHANNEL, MANAGE_MESSAGES),
        MANAGERS: Overwrite(MANAGE_MESSAGES, SEND_MESSAGES),
        BEN: Overwrite(VIEW_CHANNEL | MANAGE_MESSAGES),
        world.bot.id: Overwrite(VIEW_CHANNEL),
    }
    world.first_channel.overwrites = tangled
    world.people[TESS].role_ids = (TRUSTED, MANAGERS)
    async with running(varied) as bot:
        await bot.saw("ready")
        guild = bot.get_guild(world.guild_id)
        assert guild is not None
        told = {channel.id: channel for channel in await guild.fetch_channels()}
        for person in world.people.values():
            member = await guild.fetch_member(person.id)
            known = discord.Permissions.all().value
            assert member.guild_permissions.value == world.permissions(person) & known
            for channel in world.guild_channels():
                ours = discord.Permissions(world.permissions(person, channel))
                theirs = told[channel.id].permissions_for(member)
                assert theirs.view_channel == ours.view_channel
                if ours.view_channel:  # it takes the rest away with it
                    assert theirs.manage_messages == ours.manage_messages
                    assert theirs.send_messages == ours.send_messages
                    assert theirs.attach_files == (ours.attach_files and ours.send_messages)


@given(everyone=OVERWRITES, painters=OVERWRITES, trusted=OVERWRITES, own=OVERWRITES)
def test_the_nearer_overwrite_outweighs_the_farther(
    everyone: Overwrite, painters: Overwrite, trusted: Overwrite, own: Overwrite
) -> None:
    world = varied_world()
    ben, place = world.people[BEN], world.first_channel
    ben.role_ids = (PAINTERS, TRUSTED)
    place.overwrites = {
        world.guild_id: everyone,
        PAINTERS: painters,
        TRUSTED: trusted,
        BEN: own,
        MANAGERS: Overwrite(ALL_PERMISSIONS),  # of a role that he does not have
    }
    granted = world.permissions(ben, place)
    assert granted & own.allow == own.allow
    assert not granted & own.deny & ~own.allow
    undecided = ~(own.allow | own.deny)
    either = (painters.allow | trusted.allow) & undecided
    assert granted & either == either
    denied = (painters.deny | trusted.deny) & ~(painters.allow | trusted.allow) & undecided
    assert not granted & denied
    assert world.permissions(ben, world.channels[SKETCHES]) == granted  # a thread in it
    assert world.permissions(world.people[ADA], place) == ALL_PERMISSIONS
    world.roles[TRUSTED].permissions |= ADMINISTRATOR
    assert world.permissions(ben, place) == ALL_PERMISSIONS


@given(overwrite=OVERWRITES, left=BITS)
def test_an_overwrite_of_the_bots_own_is_told_as_it_counts(overwrite: Overwrite, left: int) -> None:
    world = default_world()
    place = world.first_channel
    place.overwrites, place.bot_permissions = {world.bot.id: overwrite}, left
    granted = world.permissions(world.bot)
    for one in world.channel_json(place)["permission_overwrites"]:
        assert (one["id"], one["type"]) == (str(world.bot.id), 1)
        granted = granted & ~int(one["deny"]) | int(one["allow"])
    assert granted == world.permissions(world.bot, place)


@pytest.mark.parametrize(
    ("user_id", "sees"),
    [(ADA, True), (BEN, False), (CLEO, False), (TESS, False), (MIA, True), (MAX, True)],
)
async def test_a_channel_of_the_moderators(
    varied: LoopbackDiscord, user_id: int, *, sees: bool
) -> None:
    varied.registry.put(None, [{"name": "imagine", "description": "x"}])
    assert varied.world.bot_permissions(varied.world.channels[MOD_LOG]) & VIEW_CHANNEL
    said = int((await varied.say("secret", channel_id=MOD_LOG))["id"])
    if sees:
        await varied.slash("imagine", {}, user_id=user_id, channel_id=MOD_LOG)
        await varied.say("x", user_id=user_id, channel_id=MOD_LOG)
        varied.delete(said, user_id=user_id)
        return
    for doing in (
        varied.slash("imagine", {}, user_id=user_id, channel_id=MOD_LOG),
        varied.say("x", user_id=user_id, channel_id=MOD_LOG),
        varied.use_on_message(said, "Report", user_id=user_id),
    ):
        with pytest.raises(CommandRefused, match="not in that channel"):
            await doing
    with pytest.raises(CommandRefused, match="not in that channel"):
        varied.delete(said, user_id=user_id)


async def test_an_interaction_tells_what_its_channel_leaves(
    loopback: LoopbackDiscord, bot: Bot
) -> None:
    told: asyncio.Queue[Interaction] = asyncio.Queue()

    async def note(interaction: Interaction) -> None:
        await interaction.response.send_message("noted")
        told.put_nowait(interaction)

    bot.handler = note
    world = loopback.world
    world.first_channel.overwrites = {
        PAINTERS: Overwrite(MANAGE_MESSAGES),
        world.bot.role_ids[0]: Overwrite(MANAGE_MESSAGES, ATTACH_FILES),
    }
    await loopback.slash("imagine", {"prompt": "x"}, user_id=BEN)
    heard = await told.get()
    assert isinstance(heard.user, discord.Member)
    assert [role.id for role in heard.user.roles] == [world.guild_id, PAINTERS]
    assert (heard.permissions.manage_messages, heard.user.guild_permissions.manage_messages) == (
        True,
        False,
    )
    assert (heard.app_permissions.manage_messages, heard.app_permissions.attach_files) == (
        True,
        False,
    )
    elsewhere = list(world.channels)[1]
    await loopback.slash("imagine", {"prompt": "x"}, user_id=BEN, channel_id=elsewhere)
    heard = await told.get()
    assert (heard.permissions.manage_messages, heard.app_permissions.attach_files) == (False, True)


async def test_people_write_where_they_may(loopback: LoopbackDiscord) -> None:
    place = loopback.world.first_channel
    place.overwrites = {
        loopback.world.guild_id: Overwrite(deny=SEND_MESSAGES | SEND_MESSAGES_IN_THREADS),
        PAINTERS: Overwrite(SEND_MESSAGES),
    }
    await loopback.say("x", user_id=BEN)
    with pytest.raises(CommandRefused, match="Cleo may not write"):
        await loopback.say("x", user_id=CLEO)


async def test_roles_that_change_are_told(loopback: LoopbackDiscord) -> None:
    world = loopback.world
    async with running(loopback) as bot:
        await bot.saw("ready")
        guild = bot.get_guild(world.guild_id)
        assert guild is not None
        painters = world.roles[PAINTERS]
        loopback.change_role(painters, permissions=MANAGE_MESSAGES)
        before, after = await bot.saw("guild_role_update")
        assert (before.permissions.manage_messages, after.permissions.manage_messages) == (
            False,
            True,
        )
        loopback.change_person(world.bot, role_ids=(*world.bot.role_ids, PAINTERS))
        _, own = await bot.saw("member_update")
        assert own.guild_permissions.manage_messages
        loopback.delete_role(painters)
        (gone,) = await bot.saw("guild_role_delete")
        assert (gone.id, guild.get_role(PAINTERS)) == (PAINTERS, None)
        assert world.people[BEN].role_ids == ()
        loopback.change_role(painters)
        (made,) = await bot.saw("guild_role_create")
        assert made.id == PAINTERS
    for role in (world.roles[world.guild_id], world.roles[world.bot.role_ids[0]]):
        with pytest.raises(CommandRefused, match="cannot be deleted"):
            loopback.delete_role(role)


async def test_of_other_members_only_those_who_listen_to_members_hear(
    loopback: LoopbackDiscord,
) -> None:
    guilds, members = 1, 1 << 1
    loopback.world.privileged_intents = members
    async with RawGateway.connect(loopback) as deaf, RawGateway.connect(loopback) as listening:
        for raw, intents in ((deaf, guilds), (listening, members)):
            await raw.receive()
            await raw.identify(loopback.token, intents)
            await raw.event("READY")
        await deaf.event("GUILD_CREATE")
        loopback.change_person(loopback.world.people[CLEO], role_ids=(PAINTERS,))
        loopback.change_role(loopback.world.roles[PAINTERS], name="Artists")
        told = (await listening.event("GUILD_MEMBER_UPDATE"))["d"]
        assert (told["user"]["id"], told["roles"]) == (str(CLEO), [str(PAINTERS)])
        assert (await deaf.receive())["t"] == "GUILD_ROLE_UPDATE"


async def test_a_channel_that_becomes_age_restricted_is_told(
    loopback: LoopbackDiscord, bot: Bot
) -> None:
    await bot.saw("ready")
    loopback.change_channel(loopback.world.first_channel, nsfw=True)
    before, after = await bot.saw("guild_channel_update")
    assert (before.is_nsfw(), after.is_nsfw()) == (False, True)
