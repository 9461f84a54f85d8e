"""`imagine doctor --online`, before a server that answers as Discord's documents say."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from aiohttp import web

from bot.cli.doctor_online import PERMISSIONS, ask_discord
from bot.cli.finding import Finding
from bot.cli.main import main
from bot.config.sections import DiscordConfig
from bot.shared.secret import Secret
from standins.discord.loopback import LoopbackDiscord

TOKEN = "a-token"
ALL = sum(PERMISSIONS.values())
MANY = 450  # servers: three pages


@dataclass
class Discord:
    """The five routes that are asked.

    shards  that are recommended; with `left` sessions that may begin
    guilds  as GET /users/@me/guilds lists them: id, name, permissions, owner
    faults  the status that a path answers with instead
    """

    url: str = ""
    guilds: list[dict[str, Any]] = field(default_factory=list)
    faults: dict[str, int] = field(default_factory=dict)
    shards: int = 1
    left: int = 1_000

    def add(self, guild_id: int, name: str, permissions: int = ALL, *, owner: bool = False) -> None:
        nothing: dict[str, Any] = {"icon": None, "banner": None, "features": []}
        guild = {"id": str(guild_id), "name": name, "permissions": str(permissions)}
        self.guilds.append({**guild, "owner": owner, **nothing})

    async def answer(self, request: web.Request) -> web.Response:
        path = request.path.removeprefix("/api/v10")
        if path in self.faults:
            return web.json_response({"message": "no", "code": 0}, status=self.faults[path])
        if path == "/gateway":
            return web.json_response({"url": "wss://gateway"})
        if request.headers.get("Authorization") != f"Bot {TOKEN}":
            return web.json_response({"message": "401: Unauthorized", "code": 0}, status=401)
        assert request.headers["User-Agent"].startswith("DiscordBot (")
        answers: dict[str, Any] = {
            "/users/@me": {"id": "77", "username": "imagine", "bot": True},
            "/applications/@me": {"id": "42", "name": "Imagine"},
            "/gateway/bot": {
                "shards": self.shards,
                "session_start_limit": {"remaining": self.left},
            },
            "/users/@me/guilds": self._page(request.query),
        }
        if path not in answers:
            raise web.HTTPNotFound
        return web.json_response(answers[path])

    def _page(self, query: Mapping[str, str]) -> list[dict[str, Any]]:
        after, limit = int(query.get("after", 0)), int(query.get("limit", 200))
        assert 1 <= limit <= 200
        return [guild for guild in self.guilds if int(guild["id"]) > after][:limit]


@pytest.fixture
async def discord() -> AsyncIterator[Discord]:
    discord = Discord()
    app = web.Application()
    app.router.add_get("/api/v10/{path:.*}", discord.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    discord.url = f"http://127.0.0.1:{runner.addresses[0][1]}/api/v10"
    yield discord
    await runner.cleanup()


async def asked(discord: Discord, *guild_ids: int, token: str = TOKEN) -> list[Finding]:
    return await ask_discord(DiscordConfig(discord.url, guild_ids=guild_ids), Secret(token))


async def test_all_is_well(discord: Discord) -> None:
    discord.add(1, "Studio")
    discord.add(2, "Gallery", 1 << 3)  # an administrator may everything
    discord.add(3, "Home", 0, owner=True)
    accepted, servers, shards, invite = await asked(discord, 1, 3)
    assert accepted == Finding("ok", "Discord answers and accepts the token.")
    assert servers == Finding("ok", "The bot is in 3 servers: Studio, Gallery, Home.")
    assert (shards.level, invite.level) == ("ok", "ok")


async def test_the_invitation_asks_for_what_is_needed(discord: Discord) -> None:
    *_, invite = await asked(discord)
    address = urlsplit(invite.what.removeprefix("Invite the bot to a server with "))
    assert address.path == "/oauth2/authorize"
    assert parse_qs(address.query) == {
        "client_id": ["42"],
        "scope": ["bot applications.commands"],
        # View Channels, Send Messages, Embed Links, Attach Files, Read Message History
        "permissions": [str(1024 + 2048 + 16384 + 32768 + 65536 + 2**38)],
    }


async def test_missing_permissions_are_named_by_server(discord: Discord) -> None:
    discord.add(1, "Studio", ALL & ~PERMISSIONS["Attach Files"] & ~PERMISSIONS["View Channels"])
    discord.add(2, "Gallery")
    lacking = [finding for finding in await asked(discord) if finding.level == "warn"]
    assert [finding.what for finding in lacking] == [
        "The bot lacks View Channels, Attach Files in 1 server: Studio."
    ]
    assert "Give them to its role" in lacking[0].mend


async def test_servers_it_is_not_in(discord: Discord) -> None:
    findings = await asked(discord, 5)
    assert Finding("warn", "The bot is in no server.", "Invite it with the address below.") in (
        findings
    )
    (failed,) = [finding for finding in findings if finding.level == "FAIL"]
    assert failed.what == "[discord] guild_ids names 5, and the bot is not in that server."


async def test_many_servers_are_all_looked_at_and_few_named(discord: Discord) -> None:
    for number in range(1, MANY + 1):
        discord.add(number, f"S{number}", 0 if number == MANY else ALL)
    _, servers, lacking, _, _ = await asked(discord, MANY)
    assert servers.what.startswith("The bot is in 450 servers: S1, S2,")
    assert servers.what.endswith("S10 and 440 more.")
    assert lacking.what.endswith("Send Messages in Threads in 1 server: S450.")


@pytest.mark.parametrize(
    ("wanted", "recommended", "left", "level", "words"),
    [
        (0, 5, 100, "ok", "recommends 5"),
        (8, 5, 100, "ok", "recommends 5"),
        (2, 5, 100, "warn", "shards is 2"),
        (8, 5, 7, "warn", "7 sessions may begin"),
    ],
)
async def test_shards_that_are_too_few_are_said(
    discord: Discord, wanted: int, recommended: int, left: int, level: str, words: str
) -> None:
    discord.shards, discord.left = recommended, left
    *_, found, _ = await ask_discord(DiscordConfig(discord.url, shards=wanted), Secret(TOKEN))
    assert found.level == level
    assert words in found.what


async def test_a_wrong_token(discord: Discord) -> None:
    (refused,) = await asked(discord, token="wrong")
    assert refused == Finding("FAIL", "Discord does not accept the token.", "Copy it anew.")


async def test_without_a_token_only_whether_it_answers(discord: Discord) -> None:
    assert await asked(discord, token="") == [Finding("ok", "Discord answers.")]


async def test_what_fails_halfway_is_said_after_what_is_well(discord: Discord) -> None:
    discord.faults["/users/@me/guilds"] = 503
    accepted, failed = await asked(discord)
    assert accepted.level == "ok"
    assert failed.what == "Discord answers /api/v10/users/@me/guilds with status 503."


async def test_nobody_there() -> None:
    (failed,) = await ask_discord(DiscordConfig("http://127.0.0.1:1/api"), Secret(TOKEN))
    assert failed.level == "FAIL"
    assert failed.what.startswith("Discord cannot be reached (127.0.0.1: ")


async def test_our_own_stand_in_says_the_same() -> None:
    loopback = LoopbackDiscord()
    await loopback.start()
    world = loopback.world
    config = DiscordConfig(loopback.api_url, guild_ids=(world.guild_id,))
    accepted, servers, _, invite = await ask_discord(config, Secret(loopback.token))
    assert accepted == Finding("ok", "Discord answers and accepts the token.")
    assert servers.what == f"The bot is in 1 server: {world.guild_name}."
    assert f"client_id={world.application_id}&" in invite.what
    await loopback.close()


async def test_the_command_asks_and_fails_with_it(
    discord: Discord, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    discord.add(1, "Studio")
    monkeypatch.setenv("IMAGINE_DISCORD__API_URL", discord.url)
    monkeypatch.setenv("IMAGINE_DISCORD__GUILD_IDS", "5")
    monkeypatch.setenv("DISCORD_TOKEN", TOKEN)
    assert await asyncio.to_thread(main, ["doctor", "--online"]) == 1
    out = capsys.readouterr().out
    assert "ok    The bot is in 1 server: Studio." in out
    assert "FAIL  [discord] guild_ids names 5" in out
    assert TOKEN not in out
