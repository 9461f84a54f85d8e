"""`imagine slack manifest`: what is printed for either way in which Slack tells the bot."""

import json
from typing import Any

import pytest

from bot.cli.main import main
from bot.homes.slack.manifest import COMMAND

URL = "https://bot.example.org/slack/events"


def printed(capsys: pytest.CaptureFixture[str], *words: str) -> Any:
    assert main(["slack", "manifest", *words]) == 0
    return json.loads(capsys.readouterr().out)


def addresses(of: object) -> list[str]:
    """Everything in it that is an address."""
    if isinstance(of, dict):
        return [found for one in of.values() for found in addresses(one)]
    if isinstance(of, list):
        return [found for one in of for found in addresses(one)]
    return [of] if isinstance(of, str) and "://" in of else []


def test_without_an_address_slack_tells_it_over_socket_mode(
    capsys: pytest.CaptureFixture[str],
) -> None:
    manifest = printed(capsys)
    assert manifest["settings"]["socket_mode_enabled"] is True
    assert addresses(manifest) == []


def test_with_an_address_everything_is_sent_there(capsys: pytest.CaptureFixture[str]) -> None:
    manifest = printed(capsys, "--url", URL)
    settings = manifest["settings"]
    assert settings["socket_mode_enabled"] is False
    assert settings["interactivity"] == {"is_enabled": True, "request_url": URL}
    assert settings["event_subscriptions"]["request_url"] == URL
    assert "app_mention" in settings["event_subscriptions"]["bot_events"]
    commands = manifest["features"]["slash_commands"]
    assert {one["command"]: one["url"] for one in commands}[COMMAND] == URL
    assert addresses(manifest) == [URL] * (len(commands) + 2)


@pytest.mark.parametrize(
    "url",
    [
        "http://bot.example.org/slack/events",
        "bot.example.org",
        "https://",
        "https://[",
        "https:\n//a",
    ],
)
def test_an_address_that_slack_cannot_send_to(capsys: pytest.CaptureFixture[str], url: str) -> None:
    assert main(["slack", "manifest", "--url", url]) == 2
    assert "is no address that Slack can send to" in capsys.readouterr().err
