"""Who somebody is in Slack, as far as the bot has to know: their language, and what they may do."""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from bot.homes.slack.calls import Calls, named
from bot.homes.slack.places import Install

log = logging.getLogger(__name__)

_KNOWN_FOR_S: Final = 300.0
_MOST_KNOWN: Final = 10_000
_LOOKING_S: Final = 2.0


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a member of a workspace.

    locale    BCP 47; empty: nobody knows it
    manages   they administer the workspace in which they do something
    is_bot    they are a program
    groups    the ids of the user groups there that they are in
    """

    name: str = ""
    locale: str = ""
    manages: bool = False
    is_bot: bool = False
    groups: frozenset[str] = frozenset()


_NOBODY: Final = Known()
Profile = Mapping[str, Any]


class People:
    """Asks Slack who somebody is, and remembers it for a while.

    home_of  where the bot is installed
    clock    seconds
    """

    def __init__(
        self,
        calls: Calls,
        home_of: Callable[[], Install],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._calls = calls
        self._home_of = home_of
        self._clock = clock
        self._profiles: dict[str, tuple[float, Profile]] = {}
        # By workspace; of a bot that is in one alone by nothing.
        self._groups: dict[str | None, tuple[float, Mapping[str, frozenset[str]]]] = {}
        self._asking = asyncio.Lock()

    async def known(self, user: str, community: str | None = None) -> Known:
        """What is known of somebody; who cannot be asked about in time may do nothing special.

        community  the workspace in which they do something; None: it does not matter
        """
        try:
            async with asyncio.timeout(_LOOKING_S):
                told = await self._profile(user)
                groups = await self._members(community)
        except Exception as error:  # noqa: BLE001 - whatever Slack said: who they are is not known
            log.warning("Slack does not say who somebody is: %s", named(error))
            return _NOBODY
        profile: Profile = told.get("profile") or {}
        return Known(
            name=str(profile.get("display_name") or told.get("real_name") or told.get("name", "")),
            locale=str(told.get("locale") or ""),
            manages=self._manages(told, community),
            is_bot=told.get("is_bot") is True,
            groups=frozenset(one for one, members in groups.items() if user in members),
        )

    async def _profile(self, user: str) -> Profile:
        until_s, told = self._profiles.get(user, (-1.0, {}))
        if until_s > self._clock():
            return told
        answer = await self._calls.make("users.info", user=user, include_locale=True)
        told = answer.get("user") or {}
        if len(self._profiles) >= _MOST_KNOWN:
            self._profiles.clear()
        self._profiles[user] = (self._clock() + _KNOWN_FOR_S, told)
        return told

    def _manages(self, told: Profile, community: str | None) -> bool:
        """Whether somebody manages a workspace: who administers another one does not."""
        if any(told.get(one) is True for one in ("is_stranger", "is_restricted")):
            return False
        home = self._home_of()
        of: Profile = told.get("enterprise_user") or {}
        in_organisation = bool(home.organisation) and of.get("enterprise_id") == home.organisation
        if not home.is_org_wide:  # what is said of them is said of this workspace
            return _administers(told) and (told.get("team_id") == home.team or in_organisation)
        # Here it is said of the one workspace that is theirs, or of the whole organisation.
        is_theirs = community is not None and told.get("team_id") == community
        return in_organisation and (_administers(of) or (is_theirs and _administers(told)))

    async def _members(self, community: str | None) -> Mapping[str, frozenset[str]]:
        """Who is in which user group of a workspace."""
        home = self._home_of()
        team = community if home.is_org_wide else None
        if home.is_org_wide and team in {None, home.organisation}:
            return {}  # groups are a workspace's
        async with self._asking:
            until_s, groups = self._groups.get(team, (-1.0, {}))
            if until_s <= self._clock():
                # With an organisation's token Slack must be told which workspace is meant.
                answer = await self._calls.make("usergroups.list", include_users=True, team_id=team)
                groups = {
                    str(one["id"]): frozenset(map(str, one.get("users") or ()))
                    for one in answer.get("usergroups") or ()
                }
                self._groups[team] = (self._clock() + _KNOWN_FOR_S, groups)
            return groups


def _administers(told: Profile) -> bool:
    return any(told.get(one) is True for one in ("is_admin", "is_owner"))
