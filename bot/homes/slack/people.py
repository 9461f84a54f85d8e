"""Who somebody is in Slack, as far as the bot has to know: their language, and what they may do."""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from bot.homes.slack.calls import Calls, named

log = logging.getLogger(__name__)

_KNOWN_FOR_S: Final = 300.0
_MOST_KNOWN: Final = 10_000
_LOOKING_S: Final = 2.0


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a member of a workspace.

    locale    BCP 47; empty: nobody knows it
    manages   they administer the workspace
    groups    the ids of the user groups that they are in
    """

    name: str = ""
    locale: str = ""
    manages: bool = False
    groups: frozenset[str] = frozenset()


_NOBODY: Final = Known()


class People:
    """Asks Slack who somebody is, and remembers it for a while.

    home_of  the workspace and the organisation that the bot is in, each empty where nobody knows it
    clock    seconds
    """

    def __init__(
        self,
        calls: Calls,
        home_of: Callable[[], tuple[str, str]],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._calls = calls
        self._home_of = home_of
        self._clock = clock
        self._known: dict[str, tuple[float, Known]] = {}
        self._groups: tuple[float, Mapping[str, frozenset[str]]] = (-1.0, {})
        self._asking = asyncio.Lock()

    async def known(self, user: str) -> Known:
        """What is known of somebody; who cannot be asked about in time may do nothing special."""
        until_s, found = self._known.get(user, (-1.0, _NOBODY))
        if until_s > self._clock():
            return found
        try:
            async with asyncio.timeout(_LOOKING_S):
                found = await self._ask(user)
        except Exception as error:  # noqa: BLE001 - whatever Slack said: who they are is not known
            log.warning("Slack does not say who somebody is: %s", named(error))
            return _NOBODY
        if len(self._known) >= _MOST_KNOWN:
            self._known.clear()
        self._known[user] = (self._clock() + _KNOWN_FOR_S, found)
        return found

    async def _ask(self, user: str) -> Known:
        answer = await self._calls.make("users.info", user=user, include_locale=True)
        groups = await self._members()
        told: Mapping[str, Any] = answer.get("user") or {}
        profile: Mapping[str, Any] = told.get("profile") or {}
        return Known(
            name=str(profile.get("display_name") or told.get("real_name") or told.get("name", "")),
            locale=str(told.get("locale") or ""),
            manages=self._is_member(told)
            and any(told.get(one) is True for one in ("is_admin", "is_owner")),
            groups=frozenset(one for one, members in groups.items() if user in members),
        )

    def _is_member(self, told: Mapping[str, Any]) -> bool:
        """Whether somebody belongs here: who administers another workspace manages nothing here."""
        if any(told.get(one) is True for one in ("is_stranger", "is_restricted")):
            return False
        team, organisation = self._home_of()
        of: Mapping[str, Any] = told.get("enterprise_user") or {}
        in_organisation = bool(organisation) and of.get("enterprise_id") == organisation
        return told.get("team_id") == team or in_organisation

    async def _members(self) -> Mapping[str, frozenset[str]]:
        """Who is in which user group."""
        async with self._asking:
            until_s, groups = self._groups
            if until_s <= self._clock():
                answer = await self._calls.make("usergroups.list", include_users=True)
                groups = {
                    str(one["id"]): frozenset(map(str, one.get("users") or ()))
                    for one in answer.get("usergroups") or ()
                }
                self._groups = (self._clock() + _KNOWN_FOR_S, groups)
            return groups
