"""The bot's tokens: one that lives for ever or, where the app rotates them, pairs in a row.

docs.slack.dev/authentication/using-token-rotation
"""

import math
import secrets
from dataclasses import dataclass
from typing import Final

from standins.base.timers import Clock
from standins.base.wire import Json
from standins.slack.errors import ApiError
from standins.slack.web_api import Arguments
from standins.slack.world import World

TOKEN_LIFE_S: Final = 12 * 3600.0
CLIENT_ID: Final = "1234567890.1234567890"
CLIENT_SECRET: Final = "loopback-client-secret"  # noqa: S105 - opens nothing but a loopback server


@dataclass(frozen=True, slots=True)
class Pair:
    """What an installation gives where tokens are rotated.

    refresh_token  buys the next pair, once
    """

    token: str
    refresh_token: str


class BotTokens:
    """Knows which there are, and until when."""

    def __init__(self, world: World, token: str, clock: Clock) -> None:
        self._world = world
        self._clock = clock
        self._ends_s = {token: math.inf}
        self._refresh_tokens: set[str] = set()

    def rotate(self) -> Pair:
        """The app is installed anew and rotates its tokens; those before are none any more."""
        self._ends_s.clear()
        self._refresh_tokens.clear()
        return self._new()

    def is_one(self, token: str) -> bool:
        """Whether this is, or was, the bot's."""
        return token in self._ends_s

    def check(self, token: str) -> None:
        """Raise ApiError where its time is over."""
        if self._ends_s[token] <= self._clock():
            raise ApiError("token_expired")

    def refresh(self, arguments: Arguments) -> Json:
        """oauth.v2.access, of which this Slack knows but the refreshing."""
        if arguments.text("client_id") != CLIENT_ID:
            raise ApiError("invalid_client_id")
        if arguments.text("client_secret") != CLIENT_SECRET:
            raise ApiError("bad_client_secret")
        if arguments.text("grant_type") != "refresh_token":
            raise ApiError("invalid_grant_type")
        spent = arguments.text("refresh_token")
        if spent not in self._refresh_tokens:
            raise ApiError("invalid_refresh_token")
        self._refresh_tokens.discard(spent)
        pair, world = self._new(), self._world
        return {
            "app_id": world.app_id,
            "access_token": pair.token,
            "token_type": "bot",
            "scope": ",".join(sorted(world.scopes)),
            "bot_user_id": world.bot_user_id,
            "expires_in": int(TOKEN_LIFE_S),
            "refresh_token": pair.refresh_token,
            "authed_user": {},
            **world.installed_in(),
        }

    def _new(self) -> Pair:
        pair = Pair(f"xoxe.xoxb-1-{secrets.token_hex(20)}", f"xoxe-1-{secrets.token_hex(20)}")
        self._ends_s[pair.token] = self._clock() + TOKEN_LIFE_S
        self._refresh_tokens.add(pair.refresh_token)
        return pair
