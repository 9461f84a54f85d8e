"""Who somebody is in Slack, as far as the bot has to know: their language, and what they may do."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from bot.homes.slack.calls import Calls, named
from bot.homes.slack.places import Install

log = logging.getLogger(__name__)

_KNOWN_FOR_S: Final = 300.0
_MOST_KNOWN: Final = 10_000
_LOOKING_S: Final = 2.0


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a member of a workspace.

    locale        BCP 47; empty: nobody knows it
    manages       they administer the workspace in which they do something
    is_bot        they are a program
    groups        the ids of the user groups there that they are in
    knows_groups  False: they may be in any others
    """

    name: str = ""
    locale: str = ""
    manages: bool = False
    is_bot: bool = False
    groups: frozenset[str] = frozenset()
    knows_groups: bool = True


T = TypeVar("T")
Profile = Mapping[str, Any]
Members = Mapping[str, frozenset[str]]  # by user groups


class People:
    """Asks Slack who somebody is, and remembers it until it changes, for a while at most.

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
        self._changes = 0
        # By workspace; of a bot that is in one alone by nothing.
        self._groups: dict[str | None, tuple[float, asyncio.Task[Members]]] = {}
        self._asking: set[asyncio.Task[Members]] = set()

    async def known(self, user: str, community: str | None = None) -> Known:
        """What is known of somebody; who cannot be asked about in time may do nothing special.

        community  the workspace in which they do something; None: it does not matter
        """
        profile, groups = await asyncio.gather(
            _in_time(self._profile(user)), _in_time(self._members(community))
        )
        told: Profile = profile or {}
        shown: Profile = told.get("profile") or {}
        return Known(
            name=str(shown.get("display_name") or told.get("real_name") or told.get("name", "")),
            locale=str(told.get("locale") or ""),
            manages=self._manages(told, community),
            is_bot=told.get("is_bot") is True,
            groups=frozenset(one for one, members in (groups or {}).items() if user in members),
            knows_groups=groups is not None,
        )

    def changed(self, user: str) -> None:
        """Somebody is known by something else, or may do more, or less."""
        self._changes += 1
        self._profiles.pop(user, None)

    def groups_changed(self) -> None:
        """Others are in user groups now."""
        self._groups.clear()

    async def close(self) -> None:
        """Ask no more."""
        for task in self._asking:
            task.cancel()
        await asyncio.gather(*self._asking, return_exceptions=True)

    async def _profile(self, user: str) -> Profile:
        until_s, told = self._profiles.get(user, (-1.0, {}))
        if until_s > self._clock():
            return told
        changes = self._changes
        answer = await self._calls.make("users.info", user=user, include_locale=True)
        told = answer.get("user") or {}
        if changes == self._changes:  # else it may be what was so before
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
        if in_organisation and _administers(of):
            return True
        if home.is_org_wide:  # what is said of them is said of the one workspace that is theirs
            is_theirs = community is not None and told.get("team_id") == community
            return in_organisation and is_theirs and _administers(told)
        # What is said of them is said of this workspace, if they are in it.
        is_in = told.get("team_id") == home.team or (
            in_organisation and home.team in (of.get("teams") or ())
        )
        return is_in and _administers(told)

    async def _members(self, community: str | None) -> Members:
        """Who is in which user group of a workspace; all who want to know it ask once."""
        home = self._home_of()
        team = community if home.is_org_wide else None
        if home.is_org_wide and team in {None, home.organisation}:
            return {}  # groups are a workspace's
        until_s, asking = self._groups.get(team, (-1.0, None))
        failed = asking is not None and asking.done() and asking.exception() is not None
        if asking is None or failed or until_s <= self._clock():
            asking = asyncio.create_task(self._asked_members(team), name="user groups")
            self._asking.add(asking)
            asking.add_done_callback(self._asking.discard)
            self._groups[team] = (self._clock() + _KNOWN_FOR_S, asking)
        # Whoever waits no longer leaves it to the next: it may take longer than one may wait.
        return await asyncio.shield(asking)

    async def _asked_members(self, team: str | None) -> Members:
        # With an organisation's token Slack must be told which workspace is meant.
        answer = await self._calls.make("usergroups.list", include_users=True, team_id=team)
        return {
            str(one["id"]): frozenset(map(str, one.get("users") or ()))
            for one in answer.get("usergroups") or ()
        }


async def _in_time(asking: Awaitable[T]) -> T | None:
    """What Slack says, unless that takes too long."""
    try:
        async with asyncio.timeout(_LOOKING_S):
            return await asking
    except Exception as error:  # noqa: BLE001 - whatever Slack said: it is not known
        log.warning("Slack does not say who somebody is: %s", named(error))
        return None


def _administers(told: Profile) -> bool:
    return any(told.get(one) is True for one in ("is_admin", "is_owner"))
