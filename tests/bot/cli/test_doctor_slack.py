"""`imagine doctor` of a bot that lives in Slack, before the loopback Slack."""

from collections.abc import AsyncIterator, Iterator

import pytest

from bot.cli.doctor import examine_tokens
from bot.cli.doctor_slack import ask_slack
from bot.cli.finding import Finding
from bot.config.reading import SlackRotation, SlackTokens
from bot.config.sections import SlackConfig
from bot.homes.slack.manifest import SCOPES, manifest
from bot.shared.secret import Secret
from standins.base.faults import Fault
from standins.slack.loopback import DEFAULT_APP_TOKEN, DEFAULT_BOT_TOKEN, LoopbackSlack
from tests.standins.slack.ports import held_port

BOT, APP = Secret(DEFAULT_BOT_TOKEN), Secret(DEFAULT_APP_TOKEN)
WRONG = Secret("xoxb-1-wrong")


@pytest.fixture
async def slack() -> AsyncIterator[LoopbackSlack]:
    server = LoopbackSlack(rate_limits=False)
    server.world.install(manifest())
    await server.start()
    yield server
    await server.close()


async def found(slack: LoopbackSlack, tokens: SlackTokens) -> list[Finding]:
    return await ask_slack(SlackConfig(api_url=slack.api_url), tokens)


async def test_all_is_well(slack: LoopbackSlack) -> None:
    findings = await found(slack, SlackTokens(BOT, APP))
    assert [one.level for one in findings] == ["ok", "ok"]
    assert "the bot is in Loopback" in findings[0].what
    (only,) = await found(slack, SlackTokens(BOT, None, Secret("5ec")))
    assert only.level == "ok"


async def test_a_token_that_slack_does_not_take_is_named(slack: LoopbackSlack) -> None:
    (bot,) = await found(slack, SlackTokens(WRONG, APP))
    _, app = await found(slack, SlackTokens(BOT, WRONG))
    assert (bot.level, app.level) == ("FAIL", "FAIL")
    assert "SLACK_BOT_TOKEN: invalid_auth" in bot.what
    assert "SLACK_APP_TOKEN: " in app.what


async def test_a_scope_that_the_app_was_not_given_is_named(slack: LoopbackSlack) -> None:
    slack.world.scopes -= {SCOPES[-1], "files:write"}
    _, lacking, _ = await found(slack, SlackTokens(BOT, APP))
    assert lacking.level == "warn"
    assert f"files:write, {SCOPES[-1]}" in lacking.what
    assert "install it anew" in lacking.mend


async def test_a_slack_that_is_away(slack: LoopbackSlack) -> None:
    slack.faults.add(Fault(kind="drop_before", route="/auth.test"))
    (away,) = await found(slack, SlackTokens(BOT, APP))
    assert (away.level, "cannot be reached" in away.what) == ("FAIL", True)
    slack.faults.add(Fault(kind="status", route="/auth.test"))
    (ill,) = await found(slack, SlackTokens(BOT, APP))
    assert ill.level == "FAIL"


async def test_a_token_that_ends_is_left_to_the_bot(slack: LoopbackSlack) -> None:
    rotation = SlackRotation(Secret("1"), Secret("2"), Secret("xoxe-1"))
    first, second = await found(slack, SlackTokens(WRONG, APP, rotation=rotation))
    assert "only a running bot" in first.what
    assert "SLACK_APP_TOKEN" in second.what


@pytest.fixture
def port() -> Iterator[int]:
    with held_port() as port:
        yield port


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        (
            {"SLACK_BOT_TOKEN": "xoxb-1", "SLACK_APP_TOKEN": "xapp-1"},
            ["ok    Slack's tokens are set: the bot is told over Socket Mode."],
        ),
        (
            {"SLACK_BOT_TOKEN": "xapp-1", "SLACK_APP_TOKEN": "xoxb-1"},
            ["warn  SLACK_BOT_TOKEN does not look", "warn  SLACK_APP_TOKEN does not look"],
        ),
        ({"SLACK_BOT_TOKEN": "xoxb-1"}, ["FAIL  There is SLACK_BOT_TOKEN, and no SLACK_APP_TOKEN"]),
        (
            {"SLACK_BOT_TOKEN": "xoxb-1", "SLACK_SIGNING_SECRET": "5ec"},
            ["told over HTTP.", "ok    The port of Slack's requests"],
        ),
    ],
)
def test_what_is_set_is_looked_at(port: int, environ: dict[str, str], said: list[str]) -> None:
    config = SlackConfig(port=port)
    out = [f"{one.level:<5} {one.what}" for one in examine_tokens(config, environ)]
    for one in said:
        assert any(one in line for line in out), out
    is_wrong = any("FAIL" in one for one in said)
    assert any("DISCORD_TOKEN is not set" in line for line in out) == is_wrong
    both = list(examine_tokens(config, {**environ, "DISCORD_TOKEN": "secret"}))
    assert any("DISCORD_TOKEN does not look" in one.what for one in both)
    assert not any("xoxb-1" in line for line in out)
