"""The bot told over HTTP: the same scenes once more, and what others could send to its address."""

import asyncio
import io
import json
import logging
import socket
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import aiohttp
import pytest
from slack_sdk.signature import SignatureVerifier

from bot.app import App, slack_home
from bot.config.reading import SlackTokens
from bot.config.sections import SlackConfig
from bot.core.job import State
from bot.errors import ConfigError
from bot.homes.slack import http_mode, render
from bot.homes.slack.http_mode import MAX_BODY_BYTES
from bot.shared.secret import Secret
from standins.base.faults import GatewayFault
from standins.base.timers import ManualClock
from standins.slack.loopback import DEFAULT_BOT_TOKEN, DEFAULT_SIGNING_SECRET, LoopbackSlack
from tests.bot.conftest import SIZES, RunBot, make_config
from tests.bot.homes.slack.test_running import (  # noqa: F401 - they run here again, over HTTP
    BEN,
    IMAGINE,
    ask,
    ended,
    has_pictures,
    seen,
    test_a_mention_in_a_thread_is_answered_there,
    test_a_shortcut_opens_the_dialog_and_asks_where,
    test_an_edit_dialog_draws_it_with_other_words,
    test_everything_below_pictures_can_be_pressed,
    test_imagine_becomes_four_different_pictures,
    test_what_cannot_be_read_is_said_to_the_one_who_asked,
    test_what_waits_is_shown_after_a_restart_on_the_same_card,
    test_where_nothing_can_be_shown_nothing_is_drawn,
)
from tests.fakes import FakePipeline
from tests.standins.slack.ports import held_port, slack_over_http

SECRET = DEFAULT_SIGNING_SECRET
FORM = "application/x-www-form-urlencoded"
Sockets = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@pytest.fixture
def port() -> Iterator[int]:
    """Where the bot will listen."""
    with held_port() as port:
        yield port


@pytest.fixture
async def slack(clock: ManualClock, port: int) -> AsyncIterator[LoopbackSlack]:
    """One that speaks HTTP: whatever runs in this file is told so."""
    async with slack_over_http(clock, port) as loopback:
        yield loopback


def signed(body: bytes | str, *, secret: str = SECRET, at_s: float | None = None) -> dict[str, str]:
    """The headers of a request of Slack's."""
    timestamp = str(int(time.time() if at_s is None else at_s))
    signature = SignatureVerifier(secret).generate_signature(timestamp=timestamp, body=body)
    assert signature is not None
    return {
        "Content-Type": FORM,
        "X-Slack-Request-Timestamp": timestamp,
        "X-Slack-Signature": signature,
    }


def command(slack: LoopbackSlack, text: str = "a fox", trigger_id: str = "1.2.a") -> str:
    """A command's body, as Slack would send it."""
    return urlencode(
        {
            "team_id": slack.world.team_id,
            "channel_id": IMAGINE,
            "user_id": BEN,
            "user_name": "ben",
            "command": "/imagine",
            "text": text,
            "response_url": f"{slack.base_url}/response/none",
            "trigger_id": trigger_id,
        }
    )


async def post(
    slack: LoopbackSlack, body: bytes | str, headers: dict[str, str], **more: Any
) -> tuple[int, str]:
    """What the bot answers to one request, by its status and its text."""
    request: dict[str, Any] = {"method": "POST", "url": slack.request_url, **more}
    data = io.BytesIO(body.encode() if isinstance(body, str) else body)
    async with (
        aiohttp.ClientSession() as session,
        session.request(data=data, headers=headers, **request) as response,
    ):
        return response.status, await response.text()


async def test_a_request_that_slack_signed_is_done(slack: LoopbackSlack, run_slack: RunBot) -> None:
    async with run_slack() as bot:
        body = command(slack)
        assert await post(slack, body, signed(body)) == (200, "")
        await seen(slack, has_pictures)
        assert len(await bot.app.ledger.find()) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"X-Slack-Signature": "v0=" + "0" * 64},
        {"X-Slack-Signature": ""},
        {"X-Slack-Signature": "v0=\u00e9"},
        {"X-Slack-Request-Timestamp": str(int(time.time()) - 1)},
        {"X-Slack-Request-Timestamp": ""},
        {"X-Slack-Request-Timestamp": "now"},
        {"X-Slack-Request-Timestamp": "9" * 400},
        {"X-Slack-Request-Timestamp": "9" * 5_000},
        {"X-Slack-Request-Timestamp": "-1"},
    ],
)
async def test_a_forged_request_is_refused_and_nothing_is_done(
    slack: LoopbackSlack, run_slack: RunBot, change: dict[str, str]
) -> None:
    pipeline = FakePipeline(SIZES)
    async with run_slack(lambda: pipeline) as bot:
        body = command(slack)
        assert await post(slack, body, signed(body) | change) == (401, "not signed\n")
        for name in change:
            less = signed(body)
            del less[name]
            assert (await post(slack, body, less))[0] == 401
        assert await bot.app.ledger.find() == []
    assert pipeline.requests == []


async def test_another_secret_and_another_body_are_refused(
    slack: LoopbackSlack, run_slack: RunBot
) -> None:
    async with run_slack() as bot:
        body = command(slack)
        assert (await post(slack, body, signed(body, secret="guessed")))[0] == 401
        other = command(slack, "a hen")
        assert (await post(slack, other, signed(body)))[0] == 401
        assert (await post(slack, b"\xff\xfe", signed(body)))[0] == 401
        packed = signed(body) | {"Content-Encoding": "gzip"}
        assert (await post(slack, b"no gzip", packed))[0] == 401
        assert await bot.app.ledger.find() == []


@pytest.mark.parametrize("off_s", [-301, 400])
async def test_an_old_request_is_refused(
    slack: LoopbackSlack, run_slack: RunBot, off_s: float
) -> None:
    async with run_slack() as bot:
        body = command(slack)
        headers = signed(body, at_s=time.time() + off_s)
        assert (await post(slack, body, headers))[0] == 401
        assert await bot.app.ledger.find() == []


async def begun(slack: LoopbackSlack, headers: dict[str, str]) -> Sockets:
    """A request whose body does not come, with where its answer comes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", urlsplit(slack.request_url).port)
    lines = [f"{name}: {value}" for name, value in headers.items()]
    head = ["POST /slack/events HTTP/1.1", "Host: bot", "Content-Length: 1000", *lines, "", ""]
    writer.write("\r\n".join(head).encode())
    await writer.drain()
    return reader, writer


async def test_what_does_not_look_signed_is_refused_before_it_is_read(
    slack: LoopbackSlack, run_slack: RunBot
) -> None:
    async with run_slack():
        for change in ({"X-Slack-Signature": "v0=1"}, {"X-Slack-Signature": ""}):
            reader, writer = await begun(slack, signed("") | change)
            assert b"401" in await reader.readline()
            writer.close()


async def test_a_request_that_does_not_arrive_is_given_up(
    slack: LoopbackSlack,
    run_slack: RunBot,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(http_mode, "_ARRIVING_S", 0.05)
    async with run_slack():
        reader, writer = await begun(slack, signed(""))
        assert b"408" in await reader.readline()
        writer.close()
        monkeypatch.setattr(http_mode, "_ARRIVING_S", 60.0)
        _, writer = await begun(slack, signed(""))
        writer.transport.abort()
        body = command(slack)
        assert (await post(slack, body, signed(body)))[0] == 200
        await seen(slack, has_pictures)
    assert "Traceback" not in caplog.text
    assert "Error handling request" not in caplog.text


async def test_a_replayed_request_is_done_once(slack: LoopbackSlack, run_slack: RunBot) -> None:
    async with run_slack() as bot:
        body = command(slack)
        headers = signed(body)
        for _ in range(3):
            assert await post(slack, body, headers) == (200, "")
        await seen(slack, has_pictures)
        await ended(bot, State.DELIVERED)
        assert len(await bot.app.ledger.find()) == 1
        # Also by a process that knows of nothing: what was asked for is in the ledger.
    async with run_slack() as bot:
        assert (await post(slack, body, headers))[0] == 200
        other = command(slack, "a hen", trigger_id="1.3.b")
        await post(slack, other, signed(other))
        await seen(slack, has_pictures, past=1)
        assert len(await bot.app.ledger.find()) == 2
    assert len(slack.history(IMAGINE)) == 2


async def test_an_event_that_slack_sends_again_is_done_once(
    slack: LoopbackSlack, run_slack: RunBot
) -> None:
    async with run_slack() as bot:
        lost = slack.faults.add(GatewayFault(kind="drop", on="ENVELOPE", count=2))
        await slack.say(f"<@{slack.world.bot_user_id}> a fox", user=BEN, channel=IMAGINE)
        await seen(slack, has_pictures)
        await slack.until(lambda: slack.unacknowledged == 0)
        assert lost.fired == 2
        await ended(bot, State.DELIVERED)
        assert len(await bot.app.ledger.find()) == 1


async def test_too_large_a_body_another_method_and_another_path_are_refused(
    slack: LoopbackSlack, run_slack: RunBot
) -> None:
    async with run_slack() as bot:
        large = command(slack, "a" * MAX_BODY_BYTES)
        assert (await post(slack, large, signed(large)))[0] == 413
        body = command(slack)
        for method in ("GET", "PUT", "DELETE", "HEAD"):
            assert (await post(slack, body, signed(body), method=method))[0] == 405
        for path in ("/", "/slack", "/slack/events/", "/slack/events/more", "/livez"):
            port = urlsplit(slack.request_url).port
            url = f"http://127.0.0.1:{port}{path}"
            assert (await post(slack, body, signed(body), url=url))[0] == 404
        assert await bot.app.ledger.find() == []


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        ("{", "application/json"),
        ("[]", "application/json"),
        ("payload=no", FORM),
        ("payload=7", FORM),
        (b"\xff", FORM),
    ],
)
async def test_a_body_of_no_sense_is_refused(
    slack: LoopbackSlack, run_slack: RunBot, body: bytes | str, content_type: str
) -> None:
    async with run_slack():
        # Of what is no text there is no signature.
        headers = signed(body if isinstance(body, str) else "")
        status, _ = await post(slack, body, headers | {"Content-Type": content_type})
        assert status == (400 if isinstance(body, str) else 401)
        await ask(slack)
        await seen(slack, has_pictures)


async def test_the_word_payload_in_a_prompt_is_a_word(
    slack: LoopbackSlack, run_slack: RunBot
) -> None:
    async with run_slack():
        await ask(slack, "a rocket with its payload={} --seed 1")
        shown = await seen(slack, has_pictures)
        assert "a rocket with its payload={}" in render.text_of(shown)


async def test_slacks_own_checks_are_answered(slack: LoopbackSlack, run_slack: RunBot) -> None:
    async with run_slack():
        challenge = json.dumps({"type": "url_verification", "challenge": "c", "token": "t"})
        headers = signed(challenge) | {"Content-Type": "application/json"}
        status, text = await post(slack, challenge, headers)
        assert (status, json.loads(text)) == (200, {"challenge": "c"})
        assert (await post(slack, "ssl_check=1", signed("ssl_check=1")))[0] == 200


def test_with_both_secrets_it_is_socket_mode_and_the_log_says_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    bot, app, signing = Secret("xoxb-1"), Secret("xapp-2"), Secret("5ec")
    slack_home(make_config(), SlackTokens(bot, app))
    slack_home(make_config(), SlackTokens(bot, None, signing))
    assert caplog.messages == []
    slack_home(make_config(), SlackTokens(bot, app, signing))
    (said,) = caplog.messages
    assert "told over Socket Mode" in said
    with pytest.raises(ValueError, match="somehow"):
        slack_home(make_config(), SlackTokens(bot, None))


async def test_it_is_online_while_it_listens(slack: LoopbackSlack, run_slack: RunBot) -> None:
    async with run_slack() as bot:
        (home,) = bot.app.homes.values()
        online = home.is_online
    assert (online, home.is_online) == (True, False)
    with pytest.raises(aiohttp.ClientConnectorError):
        await post(slack, "", signed(""))


async def test_a_port_that_is_taken_is_named(
    slack: LoopbackSlack, tmp_path: Path, run_slack: RunBot
) -> None:
    port = urlsplit(slack.request_url).port
    with socket.create_server(("127.0.0.1", port or 0)):
        here = SlackConfig(api_url=slack.api_url, port=port or 0)
        config = replace(make_config(), slack=here)
        make = slack_home(config, SlackTokens(Secret(DEFAULT_BOT_TOKEN), None, Secret(SECRET)))
        app = App(config, lambda: FakePipeline(SIZES), [make], tmp_path / "data")

        with pytest.raises(ConfigError, match=rf"127.0.0.1:{port}, where .* \[slack\] port"):
            await app.run(asyncio.Event())


async def test_what_is_not_signed_is_warned_of_once_and_nothing_of_it_is_logged(
    slack: LoopbackSlack, run_slack: RunBot, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with run_slack():
        body = command(slack, "a unicorn")
        forged = signed(body, secret="guessed")
        for _ in range(3):
            await post(slack, body, forged)
        await post(slack, "ssl_check=1", signed("ssl_check=1"))
    ours = [one for one in caplog.records if "SLACK_SIGNING_SECRET" in one.getMessage()]
    levels = [one.levelno for one in ours]
    assert levels == [logging.WARNING, logging.DEBUG, logging.DEBUG]
    for hidden in (SECRET, forged["X-Slack-Signature"], "unicorn"):
        assert hidden not in caplog.text
