"""What `imagine doctor --online` asks Discord: the token, the servers, the permissions there."""

from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

import aiohttp

from bot.cli.finding import Finding
from bot.config.sections import DiscordConfig
from bot.homes.discord.connection import reach_failure
from bot.shared.secret import Secret

# What the bot needs, under the names that Discord shows, and Discord's bits for them.
PERMISSIONS: Final[Mapping[str, int]] = {
    "View Channels": 1 << 10,
    "Send Messages": 1 << 11,
    "Embed Links": 1 << 14,
    "Attach Files": 1 << 15,
    "Read Message History": 1 << 16,
    "Send Messages in Threads": 1 << 38,
}
_ADMINISTRATOR: Final = 1 << 3  # may everything
_SCOPES: Final = "bot applications.commands"
_REAL_API: Final = "https://discord.com/api/v10"
_TIMEOUT_S: Final = 10
_PAGE: Final = 200  # servers in one answer, the most that Discord gives
_NAMED: Final = 10  # servers in one sentence

Json = dict[str, Any]


class _RefusedError(Exception):
    """Discord did not answer with what was asked; holds what to say of it."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(finding.what)
        self.finding = finding


async def ask_discord(config: DiscordConfig, token: Secret) -> list[Finding]:
    """Everything that Discord says; without a token only whether it answers."""
    api_url = config.api_url or _REAL_API
    headers = {"User-Agent": f"DiscordBot (imagine-bot, {version('imagine-bot')})"}
    if token:
        headers["Authorization"] = f"Bot {token.reveal()}"
    timeout = aiohttp.ClientTimeout(total=_TIMEOUT_S)
    findings: list[Finding] = []
    try:
        async with aiohttp.ClientSession(headers=headers, timeout=timeout) as session:
            if not token:
                await _get(session, f"{api_url}/gateway")
                return [Finding("ok", "Discord answers.")]
            await _get(session, f"{api_url}/users/@me")
            findings.append(Finding("ok", "Discord answers and accepts the token."))
            application = await _get(session, f"{api_url}/applications/@me")
            servers = await _servers(session, api_url)
            gateway = await _get(session, f"{api_url}/gateway/bot")
    except _RefusedError as error:
        return [*findings, error.finding]
    except (aiohttp.ClientError, OSError, ValueError) as error:  # the last: no JSON
        what = f"Discord cannot be reached ({reach_failure(error)})."
        return [*findings, Finding("FAIL", what, "Check the network and [discord] api_url.")]
    invite = _invite(api_url, application["id"])
    findings += [*_judge(servers, config.guild_ids), _shards(gateway, config.shards)]
    return [*findings, Finding("ok", f"Invite the bot to a server with {invite}")]


def _shards(gateway: Json, wanted: int) -> Finding:
    recommended, left = gateway["shards"], gateway["session_start_limit"]["remaining"]
    what = f"Discord recommends {recommended} shard(s); {left} sessions may begin today."
    if left < (wanted or recommended):
        return Finding("warn", what, "Until there are more, leave a bot running that is connected.")
    if wanted and wanted < recommended:
        mend = f"Set [discord] shards to {recommended}, or to 0 where one bot has them all."
        return Finding("warn", f"{what} [discord] shards is {wanted}.", mend)
    return Finding("ok", what)


async def _get(session: aiohttp.ClientSession, url: str, **query: str) -> Any:  # noqa: ANN401 - JSON
    async with session.get(url, params=query) as response:
        if response.status == 401:  # noqa: PLR2004 - Unauthorized
            finding = Finding("FAIL", "Discord does not accept the token.", "Copy it anew.")
            raise _RefusedError(finding)
        if response.status != 200:  # noqa: PLR2004 - OK
            asked = urlsplit(url).path
            what = f"Discord answers {asked} with status {response.status}."
            raise _RefusedError(Finding("FAIL", what, "Try again later."))
        return await response.json()


async def _servers(session: aiohttp.ClientSession, api_url: str) -> list[Json]:
    servers: list[Json] = []
    query = {"limit": str(_PAGE)}
    while True:
        page = await _get(session, f"{api_url}/users/@me/guilds", **query)
        servers += page
        if len(page) < _PAGE:
            return servers
        query["after"] = page[-1]["id"]


def _judge(servers: Sequence[Json], guild_ids: Sequence[int]) -> Iterator[Finding]:
    if servers:
        yield Finding("ok", f"The bot is in {_named([server['name'] for server in servers])}.")
    else:
        yield Finding("warn", "The bot is in no server.", "Invite it with the address below.")
    lacking: dict[str, list[str]] = {}
    for server in servers:
        if missing := _missing(server):
            lacking.setdefault(missing, []).append(server["name"])
    for missing, names in lacking.items():
        yield Finding(
            "warn",
            f"The bot lacks {missing} in {_named(names)}.",
            "Give them to its role in the server's settings; a channel can still say otherwise.",
        )
    there = {int(server["id"]) for server in servers}
    for guild_id in guild_ids:
        if guild_id not in there:
            yield Finding(
                "FAIL",
                f"[discord] guild_ids names {guild_id}, and the bot is not in that server.",
                "Invite it with the address below, or take the id out.",
            )


def _missing(server: Json) -> str:
    """The permissions that the bot lacks there, as a list for a sentence."""
    permissions = int(server["permissions"])
    if server["owner"] or permissions & _ADMINISTRATOR:
        return ""
    return ", ".join(name for name, bit in PERMISSIONS.items() if not permissions & bit)


def _named(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED:,} more" if len(names) > _NAMED else ""
    servers = "server" if len(names) == 1 else "servers"
    return f"{len(names):,} {servers}: {', '.join(names[:_NAMED])}{more}"


def _invite(api_url: str, application_id: str) -> str:
    query = {
        "client_id": application_id,
        "scope": _SCOPES,
        "permissions": sum(PERMISSIONS.values()),
    }
    place = urlsplit(api_url)
    return f"{place.scheme}://{place.netloc}/oauth2/authorize?{urlencode(query)}"
