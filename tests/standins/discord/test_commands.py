"""Registering commands under Discord's rules."""

import asyncio
from typing import Any

import discord
import pytest
from discord import app_commands

from standins.base.wire import Json
from standins.discord import CommandRefused, LoopbackDiscord, ManualClock, Overwrite, Upload
from standins.discord.world import (
    ADMINISTRATOR,
    ALL_PERMISSIONS,
    USE_APPLICATION_COMMANDS,
)
from tests.standins.discord.bodies import first_error
from tests.standins.discord.client import Api, Bot, running
from tests.standins.discord.people import (
    ADA,
    BEN,
    CLEO,
    LATE_NIGHT,
    MANAGERS,
    MAX,
    MIA,
    MOD_LOG,
    PAINTERS,
    SHOWCASE,
    SKETCHES,
    TESS,
    TRUSTED,
)

TEXT = {"type": 3, "name": "prompt", "description": "What to draw"}
SHOW: Json = {"type": 1, "name": "show", "description": "Show it"}
GROUP: Json = {"type": 2, "name": "policy", "description": "What is allowed", "options": [SHOW]}
NESTING = "APPLICATION_COMMAND_OPTIONS_TYPE_INVALID"
TAKEN = "APPLICATION_COMMAND_OPTIONS_NAME_ALREADY_USED"
FIRST_TYPE = ("options", 0, "type")


def command(name: str = "imagine", **more: Any) -> Json:
    return {"name": name, "description": "Draw", **more}


@pytest.fixture
def path(loopback: LoopbackDiscord) -> str:
    return f"/applications/{loopback.world.application_id}/commands"


@pytest.fixture
def guild_path(loopback: LoopbackDiscord) -> str:
    world = loopback.world
    return f"/applications/{world.application_id}/guilds/{world.guild_id}/commands"


async def test_discord_py_syncs_once_at_login(loopback: LoopbackDiscord, bot: Bot) -> None:
    assert [one["name"] for one in loopback.commands()] == ["imagine"]
    assert (loopback.registry.syncs, loopback.registry.creates) == (1, 1)
    fetched = await bot.tree.fetch_commands()
    assert [str(option.type) for option in fetched[0].options] == [
        "AppCommandOptionType.string",
        "AppCommandOptionType.integer",
    ]
    await bot.tree.sync()
    assert (loopback.registry.syncs, loopback.registry.creates) == (2, 1)


async def test_wait_commands(loopback: LoopbackDiscord, api: Api, path: str) -> None:
    await api("PUT", path, json=[command()])
    await loopback.wait_commands()
    await api("PUT", path, json=[])
    assert not loopback.registry.registered.is_set()


async def test_what_did_not_change_keeps_id_and_version(api: Api, path: str) -> None:
    _, before = await api("PUT", path, json=[command("a"), command("b")])
    changed = command("b", options=[TEXT])
    _, after = await api("PUT", path, json=[command("a"), changed, command("c")])
    assert after[0] == before[0]
    assert after[1]["id"] == before[1]["id"]
    assert after[1]["version"] != before[1]["version"]
    assert len({one["id"] for one in after}) == 3


async def test_single_commands(api: Api, path: str, guild_path: str) -> None:
    status, made = await api("POST", path, json=command())
    assert status == 201
    status, same = await api("POST", path, json=command(description="Paint"))
    assert (status, same["id"], same["description"]) == (200, made["id"], "Paint")
    one = f"{path}/{made['id']}"
    status, edited = await api("PATCH", one, json={"name": "paint"})
    assert (edited["name"], edited["description"], edited["id"]) == ("paint", "Paint", made["id"])
    assert (await api("GET", one))[1] == edited
    assert await api("DELETE", one) == (204, None)
    assert (await api("GET", one))[1]["code"] == 10063
    assert await api("GET", path) == (200, [])
    status, own = await api("POST", guild_path, json=command())
    assert own["guild_id"] in guild_path


async def test_guild_command_hides_the_global_one(
    loopback: LoopbackDiscord, api: Api, path: str, guild_path: str
) -> None:
    await api("PUT", path, json=[command(), command("other")])
    _, (own,) = await api("PUT", guild_path, json=[command(options=[TEXT])])
    assert next(one["id"] for one in loopback.commands()) == own["id"]
    await api("PUT", guild_path, json=[command(options=[{**TEXT, "required": True}])])
    with pytest.raises(CommandRefused, match="required"):
        await loopback.slash("imagine", {})


async def test_not_the_bots_own(api: Api, loopback: LoopbackDiscord) -> None:
    assert (await api("GET", "/applications/1/commands"))[1]["code"] == 20012
    path = f"/applications/{loopback.world.application_id}/guilds/1/commands"
    assert (await api("GET", path))[1]["code"] == 50001


def option(**more: Any) -> Json:
    return {**TEXT, **more}


@pytest.mark.parametrize(
    ("commands", "where", "code"),
    [
        ([command("")], (0, "name"), "BASE_TYPE_REQUIRED"),
        ([command("x" * 33)], (0, "name"), "BASE_TYPE_MAX_LENGTH"),
        ([command("Imagine")], (0, "name"), "APPLICATION_COMMAND_INVALID_NAME"),
        ([command("two words")], (0, "name"), "APPLICATION_COMMAND_INVALID_NAME"),
        ([command(), command()], (1, "name"), "APPLICATION_COMMANDS_DUPLICATE_NAME"),
        ([{"name": "imagine"}], (0, "description"), "BASE_TYPE_REQUIRED"),
        ([command(description="x" * 101)], (0, "description"), "BASE_TYPE_MAX_LENGTH"),
        (
            [command(options=[option(name=f"n{n}") for n in range(26)])],
            (0, "options"),
            "BASE_TYPE_MAX_LENGTH",
        ),
        (
            [command(options=[option(), option(name="x", required=True)])],
            (0, "options", 1),
            "APPLICATION_COMMAND_OPTIONS_REQUIRED_INVALID",
        ),
        (
            [command(options=[option(), option()])],
            (0, "options", 1, "name"),
            "APPLICATION_COMMAND_OPTIONS_NAME_ALREADY_USED",
        ),
        ([command(options=[option(type=12)])], (0, "options", 0, "type"), "BASE_TYPE_CHOICES"),
        (
            [command(options=[option(type=4, min_value=5, max_value=4)])],
            (0, "options", 0, "min_value"),
            "APPLICATION_COMMAND_OPTION_RANGE_INVALID",
        ),
        (
            [command(options=[option(choices=[{"name": "x", "value": "x"}] * 26)])],
            (0, "options", 0, "choices"),
            "BASE_TYPE_MAX_LENGTH",
        ),
        (
            [command(options=[option(choices=[{"name": "x", "value": ""}])])],
            (0, "options", 0, "choices", 0, "value"),
            "BASE_TYPE_REQUIRED",
        ),
        (
            [command(options=[option(type=5, choices=[{"name": "x", "value": "x"}])])],
            (0, "options", 0, "choices"),
            "APPLICATION_COMMAND_OPTIONS_CHOICES_INVALID",
        ),
        (
            [command(options=[option(autocomplete=True, choices=[{"name": "x", "value": "x"}])])],
            (0, "options", 0, "autocomplete"),
            "APPLICATION_COMMAND_OPTIONS_AUTOCOMPLETE_INVALID",
        ),
        ([command(options=[SHOW, TEXT])], (0, "options"), NESTING),
        ([command(options=[TEXT, GROUP])], (0, "options"), NESTING),
        ([command(options=[SHOW, SHOW])], (0, "options", 1, "name"), TAKEN),
        ([command(options=[{**SHOW, "options": [SHOW]}])], (0, "options", 0, *FIRST_TYPE), NESTING),
        (
            [command(options=[{**GROUP, "options": [GROUP]}])],
            (0, "options", 0, *FIRST_TYPE),
            NESTING,
        ),
        ([command(options=[{**GROUP, "options": [TEXT]}])], (0, "options", 0, "options"), NESTING),
        (
            [command(options=[{**SHOW, "name": "Two Words"}])],
            (0, "options", 0, "name"),
            "APPLICATION_COMMAND_INVALID_NAME",
        ),
        (
            [command(options=[{**SHOW, "name": f"n{n}"} for n in range(26)])],
            (0, "options"),
            "BASE_TYPE_MAX_LENGTH",
        ),
        (
            [
                command(
                    options=[
                        {**GROUP, "options": [{**SHOW, "name": f"n{n}"} for n in range(26)]},
                    ]
                )
            ],
            (0, "options", 0, "options"),
            "BASE_TYPE_MAX_LENGTH",
        ),
        (
            [
                command(
                    options=[{**SHOW, "options": [{**TEXT, "name": f"n{n}"} for n in range(26)]}]
                )
            ],
            (0, "options", 0, "options"),
            "BASE_TYPE_MAX_LENGTH",
        ),
        (
            [command(options=[option(options=[TEXT])])],
            (0, "options", 0, "options"),
            "APPLICATION_COMMAND_OPTIONS_INVALID",
        ),
        (
            [command(options=[option(type=7, channel_types=[99])])],
            (0, "options", 0, "channel_types", 0),
            "BASE_TYPE_CHOICES",
        ),
        (
            [
                command(
                    options=[
                        option(
                            name=f"n{n}",
                            choices=[
                                {"name": f"{k}" * 40, "value": f"{k}" * 40} for k in range(25)
                            ],
                        )
                        for n in range(5)
                    ]
                )
            ],
            (0,),
            "APPLICATION_COMMAND_TOO_LARGE",
        ),
    ],
)
async def test_commands_that_are_refused(
    loopback: LoopbackDiscord,
    api: Api,
    path: str,
    commands: list[Json],
    where: tuple[str | int, ...],
    code: str,
) -> None:
    status, body = await api("PUT", path, json=commands)
    assert (status, body["code"]) == (400, 50035)
    node = body["errors"]
    for step in where:
        node = node[str(step)]
    assert code in [error["code"] for error in node["_errors"]]
    assert loopback.commands() == []
    assert loopback.registry.creates == 0


@pytest.mark.parametrize("name", ["imagine", "réver", "絵", "a-b_c'd", "x" * 32, "7"])
async def test_names_that_are_fine(api: Api, path: str, name: str) -> None:
    assert (await api("PUT", path, json=[command(name)]))[0] == 200


async def test_two_hundred_creates_a_day(
    loopback: LoopbackDiscord, api: Api, path: str, clock: ManualClock
) -> None:
    for round_ in range(2):
        names = [command(f"n{round_}-{number}") for number in range(100)]
        assert (await api("PUT", path, json=names))[0] == 200
    await api("PUT", path, json=[])
    status, body = await api("PUT", path, json=[command()])
    assert (status, body["code"]) == (400, 30034)
    assert (await api("POST", path, json=command()))[1]["code"] == 30034
    clock.advance(86_400)
    assert (await api("PUT", path, json=[command()]))[0] == 200
    assert loopback.registry.creates == 201


async def test_hundred_commands_at_once(api: Api, path: str) -> None:
    names = [command(f"n{number}") for number in range(101)]
    assert (await api("PUT", path, json=names))[1]["code"] == 30032
    assert (await api("PUT", path, json=names[:100]))[0] == 200
    assert (await api("POST", path, json=command()))[1]["code"] == 30032


async def test_every_kind_of_option_reaches_discord_py(loopback: LoopbackDiscord, bot: Bot) -> None:
    told: Json = {}
    group = app_commands.Group(name="art", description="Art")

    @group.command(name="mix", description="Mix")
    @app_commands.choices(size=[app_commands.Choice(name="big", value="b")])
    async def mix(
        interaction: discord.Interaction,
        user: discord.Member,
        file: discord.Attachment,
        size: app_commands.Choice[str],
        weight: float,
        loud: bool,
        where: discord.TextChannel,
        role: discord.Role,
    ) -> None:
        told.update(user=user.id, data=await file.read(), size=size.value, weight=weight, loud=loud)
        told.update(where=where.name, role=role.name)
        await interaction.response.send_message("mixed")

    bot.tree.add_command(group)
    await bot.tree.sync()
    world = loopback.world
    person, channel, role = list(world.people)[1], world.first_channel, list(world.roles)[1]
    interaction = await loopback.slash(
        "art mix",
        {
            "user": person,
            "file": Upload("a.txt", "text/plain", b"hello"),
            "size": "b",
            "weight": 1.5,
            "loud": False,
            "where": channel.id,
            "role": str(role),
        },
    )
    await interaction.until(lambda message: message["content"] == "mixed")
    assert told == {
        "user": person,
        "data": b"hello",
        "size": "b",
        "weight": 1.5,
        "loud": False,
        "where": channel.name,
        "role": world.roles[role].name,
    }
    with pytest.raises(CommandRefused, match="Say which /art"):
        await loopback.slash("art", {})
    with pytest.raises(CommandRefused, match="nothing that can be chosen"):
        await loopback.slash("art mix", {"user": 1})


async def test_command_for_moderators_only(loopback: LoopbackDiscord, api: Api, path: str) -> None:
    ban_members = 1 << 2
    _, made = await api("PUT", path, json=[command(default_member_permissions=ban_members)])
    assert made[0]["default_member_permissions"] == str(ban_members)
    ada, ben, *_ = loopback.world.people
    await loopback.slash("imagine", {}, user_id=ada)
    with pytest.raises(CommandRefused, match="Ben may not"):
        await loopback.slash("imagine", {}, user_id=ben)
    assert [len(loopback.offered(user_id=one)) for one in (ada, ben)] == [1, 0]


async def test_a_command_without_any_rank_is_for_administrators(
    loopback: LoopbackDiscord, api: Api, path: str
) -> None:
    await api("PUT", path, json=[command(default_member_permissions=0)])
    loopback.world.roles[PAINTERS].permissions = ALL_PERMISSIONS & ~ADMINISTRATOR
    with pytest.raises(CommandRefused, match="Ben may not"):
        await loopback.slash("imagine", {}, user_id=BEN)
    loopback.world.roles[PAINTERS].permissions = ADMINISTRATOR
    await loopback.slash("imagine", {}, user_id=BEN)


async def test_in_direct_messages_rank_does_not_count(
    loopback: LoopbackDiscord, api: Api, path: str
) -> None:
    await api("PUT", path, json=[command(default_member_permissions=32)])
    place = loopback.world.direct_messages(loopback.world.people[BEN])
    await loopback.slash("imagine", {}, user_id=BEN, channel_id=place.id)


async def test_who_may_use_no_applications_is_offered_none(
    loopback: LoopbackDiscord, api: Api, path: str
) -> None:
    await api("PUT", path, json=[command(), {"name": "Report", "type": 3}])
    said = int((await loopback.say("hello"))["id"])
    place = loopback.world.first_channel
    assert len(loopback.offered(user_id=BEN)) == 2
    deny = Overwrite(deny=USE_APPLICATION_COMMANDS)
    loopback.change_channel(place, overwrites={PAINTERS: deny})
    assert loopback.offered(user_id=BEN) == []
    with pytest.raises(CommandRefused, match="Ben may not use /imagine"):
        await loopback.slash("imagine", {}, user_id=BEN)
    with pytest.raises(CommandRefused, match="Ben may not use Report"):
        await loopback.use_on_message(said, "Report", user_id=BEN)
    assert len(loopback.offered(user_id=CLEO)) == 2


async def test_a_guilds_own_command_is_offered_in_place_of_the_global_one(
    loopback: LoopbackDiscord, api: Api, path: str, guild_path: str
) -> None:
    await api("PUT", path, json=[command(), command("other")])
    _, (own,) = await api("PUT", guild_path, json=[command(default_member_permissions=32)])
    offered = loopback.offered(user_id=ADA)
    assert {one["id"] for one in offered} >= {own["id"]}
    assert sorted(one["name"] for one in offered) == ["imagine", "other"]
    assert [one["name"] for one in loopback.offered(user_id=BEN)] == ["other"]


class Admin(app_commands.Group):
    """As a bot's commands for managers are: groups of subcommands, and every kind of choice."""

    def __init__(self, told: "asyncio.Queue[list[Any]]") -> None:
        super().__init__(
            name="imagine-admin",
            description="For managers",
            default_permissions=discord.Permissions(manage_guild=True),
        )
        policy = app_commands.Group(name="policy", description="What is allowed", parent=self)

        @policy.command(name="set", description="Set it")
        async def set_(
            interaction: discord.Interaction,
            role: discord.Role,
            channel: discord.TextChannel,
            whom: discord.Member | discord.Role,
            also: discord.User | None = None,
        ) -> None:
            await interaction.response.send_message("set", ephemeral=True)
            assert isinstance(interaction.user, discord.Member)
            told.put_nowait([interaction.user, role, channel, whom, also])

        @self.command(name="show", description="Show it")
        async def show(interaction: discord.Interaction) -> None:
            await interaction.response.send_message("shown", ephemeral=True)
            told.put_nowait([interaction.user])


async def test_a_managers_subcommands_come_with_all_that_was_chosen(
    varied: LoopbackDiscord,
) -> None:
    told: asyncio.Queue[list[Any]] = asyncio.Queue()
    async with running(varied) as bot:
        bot.tree.add_command(Admin(told))
        await bot.tree.sync()
        options: dict[str, object] = {"role": TRUSTED, "channel": MOD_LOG, "whom": MANAGERS}
        await varied.slash("imagine-admin policy set", options, user_id=MAX)
        user, role, channel, whom, also = await told.get()
        assert ([one.id for one in user.roles[1:]], user.guild_permissions.manage_guild) == (
            [MANAGERS],
            True,
        )
        assert (role.name, channel.name, whom.name, also) == (
            "Trusted",
            "mod-log",
            "Managers",
            None,
        )
        await varied.slash(
            "imagine-admin policy set", {**options, "whom": TESS, "also": BEN}, user_id=ADA
        )
        _, _, _, whom, also = await told.get()
        assert ([one.id for one in whom.roles[1:]], also.id) == ([TRUSTED], BEN)
        await varied.slash("imagine-admin show", {}, user_id=MAX)
        assert (await told.get())[0].id == MAX
        for line in ("imagine-admin", "imagine-admin policy", "imagine-admin show all"):
            with pytest.raises(CommandRefused):
                await varied.slash(line, {}, user_id=MAX)
        for user_id in (BEN, TESS, MIA):
            with pytest.raises(CommandRefused, match="may not use /imagine-admin"):
                await varied.slash("imagine-admin show", {}, user_id=user_id)
            assert [one["name"] for one in varied.offered(user_id=user_id)] == ["imagine"]


@pytest.mark.parametrize(
    ("user_id", "value", "kinds", "may"),
    [
        (MIA, MOD_LOG, [], True),
        (BEN, MOD_LOG, [], False),  # who does not see a channel cannot choose it
        (BEN, LATE_NIGHT, [0], True),
        (BEN, LATE_NIGHT, [15], False),
        (BEN, SHOWCASE, [15], True),
        (BEN, SKETCHES, [], True),
        (BEN, 900_000_000_000_000_322, [], False),  # their own direct messages
        (BEN, 1, [], False),
    ],
)
async def test_the_channels_that_can_be_chosen(
    varied: LoopbackDiscord, user_id: int, value: int, kinds: list[int], may: bool
) -> None:
    option_ = {"type": 7, "name": "where", "description": "x", "channel_types": kinds}
    varied.registry.put(None, [command(options=[option_])])
    if may:
        interaction = await varied.slash("imagine", {"where": value}, user_id=user_id)
        assert list(interaction.command["resolved"]["channels"]) == [str(value)]
    else:
        with pytest.raises(CommandRefused, match="nothing that can be chosen"):
            await varied.slash("imagine", {"where": value}, user_id=user_id)


async def test_an_age_restricted_command_is_offered_in_such_channels(
    varied: LoopbackDiscord,
) -> None:
    varied.registry.put(None, [command(nsfw=True)])
    assert varied.offered(user_id=BEN) == []
    assert len(varied.offered(user_id=BEN, channel_id=LATE_NIGHT)) == 1


async def test_login_with_the_wrong_token(loopback: LoopbackDiscord) -> None:
    loopback.token = "another"
    with pytest.raises(discord.LoginFailure):
        async with running(loopback):
            raise AssertionError


LOCALIZED: list[tuple[Json, tuple[str | int, ...], str]] = [
    ({"name_localizations": {"de": "Malen"}}, ("name_localizations", "de"), "INVALID_NAME"),
    ({"name_localizations": {"de": ""}}, ("name_localizations", "de"), "REQUIRED"),
    ({"name_localizations": {"xx": "malen"}}, ("name_localizations", "xx"), "CHOICES"),
    ({"name_localizations": ["malen"]}, ("name_localizations",), "DICT_TYPE_CONVERT"),
    (
        {"description_localizations": {"fr": "x" * 101}},
        ("description_localizations", "fr"),
        "MAX_LENGTH",
    ),
    (
        {"options": [{**TEXT, "name_localizations": {"ja": "two words"}}]},
        ("options", 0, "name_localizations", "ja"),
        "INVALID_NAME",
    ),
    (
        {
            "options": [
                {
                    **TEXT,
                    "choices": [
                        {"name": "x", "value": "x", "name_localizations": {"de": "x" * 101}}
                    ],
                }
            ]
        },
        ("options", 0, "choices", 0, "name_localizations", "de"),
        "MAX_LENGTH",
    ),
    ({"contexts": [3]}, ("contexts", 0), "CHOICES"),
    ({"contexts": [0, 0]}, ("contexts",), "ALREADY_CONTAINS"),
    ({"contexts": []}, ("contexts",), "BAD_LENGTH"),
    ({"integration_types": [2]}, ("integration_types", 0), "CHOICES"),
    ({"integration_types": 1}, ("integration_types",), "LIST_TYPE_CONVERT"),
    ({"nsfw": "yes"}, ("nsfw",), "BOOLEAN_TYPE_CONVERT"),
]


@pytest.mark.parametrize(("more", "where", "code"), LOCALIZED)
async def test_what_is_said_in_other_languages_and_places_is_checked(
    api: Api, path: str, more: Json, where: tuple[str | int, ...], code: str
) -> None:
    status, body = await api("POST", path, json=command(**more))
    assert status == 400
    assert code in first_error(body, *where)


async def test_languages_and_places_are_stored(api: Api, path: str) -> None:
    more: Json = {
        "name_localizations": {"de": "malen", "zh-CN": "絵"},
        "description_localizations": {"de": "Ein Bild malen"},
        "contexts": [0, 1, 2],
        "integration_types": [0, 1],
        "nsfw": True,
    }
    _, stored = await api("POST", path, json=command(**more, default_member_permissions=8))
    assert {name: stored[name] for name in more} == more
    assert stored["default_member_permissions"] == "8"


async def test_the_longest_language_counts(api: Api, path: str) -> None:
    long = [
        option(
            name=f"n{n}",
            description_localizations={"de": "x" * 100, "fr": "y" * 99},
            choices=[
                {"name": "x", "value": f"{k}", "name_localizations": {"de": f"{k}" * 50}}
                for k in range(10, 35)
            ],
        )
        for n in range(3)
    ]
    left = 8_000 - len("x") - len("Draw") - 3 * (2 + 100 + 25 * (100 + 2)) - len("o")
    last = option(name="o", description="z" * left)
    assert (await api("PUT", path, json=[command("x", options=[*long, last])]))[0] == 200
    last["description_localizations"] = {"de": "z" * (left + 1)}
    _, body = await api("POST", path, json=command("x", options=[*long, last]))
    assert first_error(body) == "APPLICATION_COMMAND_TOO_LARGE"
