"""Log lines carry their job, and never a token."""

import asyncio
import json
import logging

import pytest
from slack_bolt.app.async_app import AsyncApp
from slack_bolt.authorization import AuthorizeResult
from slack_sdk.web.async_client import AsyncWebClient

from bot.operations.log import OF_NO_USE, LineFormatter, set_up
from bot.shared.job_context import current_job, in_job
from bot.shared.secret import Secret

TOKEN = "MTIzNDU2Nzg5MDEyMzQ1Njc4OQ.GaBcDe.abcdefghijklmnopqrstuvwxyz0123456789AB"


def line(message: str, *args: object, formatter: LineFormatter, error: bool = False) -> str:
    trace = (ValueError, ValueError(message), None) if error else None
    record = logging.LogRecord("bot.x", logging.INFO, __file__, 1, message, args, trace)
    return formatter.format(record)


async def test_each_line_of_a_job_and_of_its_tasks_names_it() -> None:
    async def task() -> str:
        return line("drawn", formatter=LineFormatter())

    with in_job("abcdefgh"):
        started = asyncio.create_task(task())
    assert current_job() == ""
    assert " [abcdefgh] drawn" in await started
    assert line("idle", formatter=LineFormatter()).endswith(" INFO    bot.x idle")


def test_json_lines_are_objects() -> None:
    with in_job("abcdefgh"):
        parts = json.loads(line("%d images", 4, formatter=LineFormatter(as_json=True), error=True))
    assert parts["job"] == "abcdefgh"
    assert parts["message"] == "4 images"
    assert parts["level"] == "info"
    assert "ValueError" in parts["traceback"]


def test_tokens_are_hidden_in_messages_and_traces() -> None:
    for text in (
        f"Authorization: Bot {TOKEN}",
        f"token is {TOKEN}",
        "PATCH https://discord.com/api/v10/webhooks/12/aW50ZXJhY3Rpb24.x-y_z/messages/@original",
        "POST http://127.0.0.1:1/api/v10/interactions/34/aW50ZXJhY3Rpb24.x-y_z/callback",
        "{'id': '1', 'token': 'aW50ZXJhY3Rpb24.x-y_z'}",
    ):
        for formatter in (LineFormatter(), LineFormatter(as_json=True)):
            shown = line(text, formatter=formatter, error=True)
            assert TOKEN not in shown
            assert "aW50ZXJhY3Rpb24" not in shown
            assert "<hidden>" in shown


def test_the_secret_itself_is_hidden_whatever_it_looks_like() -> None:
    formatter = LineFormatter(secrets=[Secret("plain-word")])
    assert "plain-word" not in line("it is plain-word", formatter=formatter, error=True)


async def test_what_bolt_says_at_every_start_is_known(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def authorize() -> AuthorizeResult:
        return AuthorizeResult(enterprise_id=None, team_id=None)

    monkeypatch.setenv("SLACK_BOT_TOKEN", "xoxb-1")
    AsyncApp(client=AsyncWebClient(), authorize=authorize)
    (said,) = caplog.messages
    assert any(one in said for one in OF_NO_USE)


def test_what_is_sent_to_an_object_store_is_never_written_down() -> None:
    set_up("debug")
    assert not logging.getLogger("botocore.endpoint").isEnabledFor(logging.INFO)
