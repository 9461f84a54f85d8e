"""What `imagine doctor --online` asks Slack: the tokens, and what the app may do."""

from collections.abc import AsyncIterator
from typing import Final

from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from bot.cli.finding import Finding
from bot.config.reading import SlackTokens
from bot.config.sections import SlackConfig
from bot.homes.slack.calls import CALL_ERRORS, code_of, named
from bot.homes.slack.manifest import SCOPES

_TIMEOUT_S: Final = 10
_SCOPES_HEADER: Final = "x-oauth-scopes"
_ANEW: Final = (
    "Change the app's manifest to what `imagine slack manifest` prints, and install it anew."
)


async def ask_slack(config: SlackConfig, tokens: SlackTokens) -> list[Finding]:
    """Everything that Slack says."""
    url = config.api_url or AsyncWebClient.BASE_URL
    client = AsyncWebClient(base_url=url, timeout=_TIMEOUT_S, retry_handlers=[])
    return [one async for one in _findings(client, tokens)]


async def _findings(client: AsyncWebClient, tokens: SlackTokens) -> AsyncIterator[Finding]:
    token = "SLACK_BOT_TOKEN"  # noqa: S105 - its name
    try:
        if tokens.rotation is None:
            told = await client.auth_test(token=tokens.bot.reveal())
            yield Finding("ok", f"Slack answers and accepts {token}: the bot is in {told['team']}.")
            headers = {name.lower(): value for name, value in told.headers.items()}
            given = set(headers.get(_SCOPES_HEADER, "").replace(" ", "").split(","))
            if missing := [one for one in SCOPES if one not in given]:
                yield Finding("warn", f"The app lacks {', '.join(missing)} there.", _ANEW)
        else:
            yield Finding("ok", f"{token} ends: only a running bot has the one that Slack takes.")
        if tokens.app is not None:
            token = "SLACK_APP_TOKEN"  # noqa: S105 - its name
            await client.apps_connections_open(app_token=tokens.app.reveal())
            yield Finding("ok", f"Slack accepts {token}.")
    except SlackApiError as error:
        if code_of(error) is None:
            yield Finding("FAIL", f"Slack cannot answer: {named(error)}.", "Try again later.")
        else:
            mend = "Copy it anew from the app's page."
            yield Finding("FAIL", f"Slack does not accept {token}: {named(error)}.", mend)
    except CALL_ERRORS as error:
        what = f"Slack cannot be reached ({named(error)})."
        yield Finding("FAIL", what, "Check the network and [slack] api_url.")
