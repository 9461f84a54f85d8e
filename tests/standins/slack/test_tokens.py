"""Tokens that end: how a pair follows a pair, as slack_sdk's own rotator asks for it."""

from typing import Any

import pytest
from slack_sdk.errors import SlackTokenRotationError
from slack_sdk.oauth.installation_store import Bot
from slack_sdk.oauth.token_rotation.async_rotator import AsyncTokenRotator
from slack_sdk.web.async_client import AsyncWebClient

from standins.slack import LoopbackSlack, ManualClock
from standins.slack.tokens import CLIENT_ID, CLIENT_SECRET, TOKEN_LIFE_S, Pair
from tests.standins.slack.app import BOT, refused


def bot_of(pair: Pair) -> Bot:
    return Bot(
        bot_token=pair.token,
        bot_refresh_token=pair.refresh_token,
        bot_token_expires_in=0,
        bot_id="B0LOOPBACK",
        bot_user_id=BOT,
        installed_at=0.0,
    )


async def test_a_token_ends_after_twelve_hours(
    slack: LoopbackSlack, client: AsyncWebClient, clock: ManualClock
) -> None:
    pair = await slack.rotate_tokens()
    with refused("invalid_auth"):  # that of before
        await client.auth_test()
    client.token = pair.token
    clock.advance(TOKEN_LIFE_S - 1)
    await client.auth_test()
    clock.advance(1)
    with refused("token_expired"):
        await client.auth_test()


# slack_sdk uses it still.
@pytest.mark.filterwarnings("ignore:BasicAuth is deprecated:DeprecationWarning")
async def test_slacks_own_rotator_buys_the_next_pair_once(
    slack: LoopbackSlack, client: AsyncWebClient, clock: ManualClock
) -> None:
    pair = await slack.rotate_tokens()
    rotator = AsyncTokenRotator(client_id=CLIENT_ID, client_secret=CLIENT_SECRET, client=client)
    clock.advance(1)
    found = await rotator.perform_bot_token_rotation(bot=bot_of(pair))
    assert found is not None
    client.token = pair.token
    await client.auth_test()  # it lives on until its end
    clock.advance(TOKEN_LIFE_S - 1)
    with refused("token_expired"):
        await client.auth_test()
    client.token = found.bot_token
    await client.auth_test()
    with pytest.raises(SlackTokenRotationError, match="invalid_refresh_token"):
        await rotator.perform_bot_token_rotation(bot=bot_of(pair))


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"client_id": "1.2"}, "invalid_client_id"),
        ({"client_secret": "x"}, "bad_client_secret"),
        ({"grant_type": "authorization_code"}, "invalid_grant_type"),
        ({"refresh_token": "xoxe-1-x"}, "invalid_refresh_token"),
    ],
)
async def test_what_slack_wants_for_a_pair(
    slack: LoopbackSlack, client: AsyncWebClient, wrong: dict[str, str], error: str
) -> None:
    pair = await slack.rotate_tokens()
    right = {
        "client_id": CLIENT_ID,
        "client_secret": CLIENT_SECRET,
        "grant_type": "refresh_token",
        "refresh_token": pair.refresh_token,
    }
    with refused(error):
        await client.api_call("oauth.v2.access", data={**right, **wrong})
    told: Any = await client.api_call("oauth.v2.access", data=right)
    assert (told["token_type"], told["expires_in"]) == ("bot", TOKEN_LIFE_S)
