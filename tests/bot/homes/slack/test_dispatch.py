"""What Slack tells is done once, and what could not be taken in may be told again."""

from typing import Any

import pytest
from slack_bolt.app.async_app import AsyncApp
from slack_bolt.authorization import AuthorizeResult
from slack_sdk.web.async_client import AsyncWebClient

from bot.homes.slack.dispatch import Dispatch

COMMAND = {"command": "/imagine", "trigger_id": "1.2.a", "team_id": "T1", "user_id": "U1"}


@pytest.fixture
def app() -> AsyncApp:
    async def authorize() -> AuthorizeResult:
        return AuthorizeResult(
            enterprise_id=None, team_id="T1", bot_user_id="U2", bot_token="xoxb-1"
        )

    return AsyncApp(client=AsyncWebClient(), authorize=authorize)


async def test_what_could_not_be_taken_in_is_done_when_it_is_told_again(
    app: AsyncApp, caplog: pytest.LogCaptureFixture
) -> None:
    heard: list[str] = []

    @app.command("/imagine")
    async def imagine(ack: Any, body: dict[str, Any]) -> None:
        heard.append(body["trigger_id"])
        if len(heard) == 1:
            raise RuntimeError("the disk is full")
        await ack({"text": "heard"})

    dispatch = Dispatch(app)
    assert await dispatch.tell(COMMAND, "1") is None
    assert await dispatch.tell(COMMAND, "2") == {"text": "heard"}
    assert await dispatch.tell(COMMAND, "3") == {}
    assert len(heard) == 2
    assert "could not be taken in: /imagine" in caplog.text


async def test_what_nobody_listens_to_is_not_told_again(app: AsyncApp) -> None:
    assert await Dispatch(app).tell(COMMAND, "1") == {}
