"""Who somebody is in Slack, as far as the bot has to know: their language, and what they may do."""

import asyncio
import logging
import math
import time
from collections.abc import Callable, Coroutine, Hashable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

from slack_sdk.errors import SlackApiError

from bot.homes.slack.calls import Calls, code_of, named
from bot.homes.slack.places import Install

log = logging.getLogger(__name__)

_KNOWN_FOR_S: Final = 300.0
_UNKNOWN_FOR_S: Final = 30.0  # what Slack did not say is not asked with every word
_MOST_KNOWN: Final = 10_000
_LOOKING_S: Final = 2.0
_NO_GROUPS: Final = "plan_upgrade_required"  # a workspace that pays nothing has none


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a member of a workspace.

    locale    BCP 47; empty: nobody knows it
    manages   they administer the workspace in which they do something
    is_bot    they are a program
    """

    name: str = ""
    locale: str = ""
    manages: bool = False
    is_bot: bool = False


T = TypeVar("T")
K = TypeVar("K", bound=Hashable)
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
        self._profiles: _Remembered[str, Profile] = _Remembered(clock)
        # By workspace; of a bot that is in one alone by nothing.
        self._groups: _Remembered[str | None, Members] = _Remembered(clock)

    async def known(self, user: str, community: str | None = None) -> Known:
        """What is known of somebody; who cannot be asked about in time may do nothing special.

        community  the workspace in which they do something; None: it does not matter
        """
        told = await self._profiles.get(user, lambda: self._profile(user)) or {}
        shown: Profile = told.get("profile") or {}
        return Known(
            name=str(shown.get("display_name") or told.get("real_name") or told.get("name", "")),
            locale=str(told.get("locale") or ""),
            manages=self._manages(told, community),
            is_bot=told.get("is_bot") is True,
        )

    async def groups(self, user: str, community: str | None) -> frozenset[str] | None:
        """The ids of the user groups there that somebody is in; None: Slack does not say it now."""
        home = self._home_of()
        team = community if home.is_org_wide else None
        if home.is_org_wide and team in {None, home.organisation}:
            return frozenset()  # groups are a workspace's
        members = await self._groups.get(team, lambda: self._members(team))
        if members is None:
            return None
        return frozenset(one for one, users in members.items() if user in users)

    def changed(self, user: str) -> None:
        """Somebody is known by something else, or may do more, or less."""
        self._profiles.forget(user)

    def groups_changed(self) -> None:
        """Others are in user groups now."""
        self._groups.forget()

    async def close(self) -> None:
        """Ask no more."""
        await asyncio.gather(self._profiles.close(), self._groups.close())

    async def _profile(self, user: str) -> Profile:
        answer = await self._calls.make("users.info", user=user, include_locale=True)
        told: Profile = answer.get("user") or {}
        return told

    async def _members(self, team: str | None) -> Members:
        """Who is in which user group of a workspace."""
        try:
            # With an organisation's token Slack must be told which workspace is meant.
            answer = await self._calls.make("usergroups.list", include_users=True, team_id=team)
        except SlackApiError as error:
            if code_of(error) == _NO_GROUPS:
                return {}
            raise
        return {
            str(one["id"]): frozenset(map(str, one.get("users") or ()))
            for one in answer.get("usergroups") or ()
        }

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


class _Remembered(Generic[K, T]):
    """What Slack said of this and that, asked once by all who want to know it.

    clock  seconds
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._known: dict[K, tuple[float, asyncio.Task[T | None]]] = {}
        self._asking: set[asyncio.Task[T | None]] = set()

    async def get(self, key: K, ask: Callable[[], Coroutine[Any, Any, T]]) -> T | None:
        """What it said; None: it does not say it in time, or not now."""
        until_s, asking = self._known.get(key, (-math.inf, None))
        if asking is None or until_s <= self._clock():
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            asking = asyncio.create_task(self._asked(key, ask), name="who somebody is")
            self._asking.add(asking)
            asking.add_done_callback(self._asking.discard)
            self._known[key] = (self._clock() + _KNOWN_FOR_S, asking)
        try:
            async with asyncio.timeout(_LOOKING_S):
                # It may take longer than one may wait: then it is there for the next.
                return await asyncio.shield(asking)
        except TimeoutError:
            log.warning("Slack takes its time to say who somebody is")
            return None

    async def _asked(self, key: K, ask: Callable[[], Coroutine[Any, Any, T]]) -> T | None:
        try:
            return await ask()
        except Exception as error:  # noqa: BLE001 - whatever Slack said: it is not known
            log.warning("Slack does not say who somebody is: %s", named(error))
            kept = self._known.get(key)
            if kept is not None and kept[1] is asyncio.current_task() and code_of(error) is None:
                self._known[key] = (self._clock() + _UNKNOWN_FOR_S, kept[1])
            return None

    def forget(self, key: K | None = None) -> None:
        """It is otherwise now; None: all of it. What is being asked is not kept."""
        if key is None:
            self._known.clear()
        else:
            self._known.pop(key, None)

    async def close(self) -> None:
        """Ask no more."""
        for task in self._asking:
            task.cancel()
        await asyncio.gather(*self._asking, return_exceptions=True)


def _administers(told: Profile) -> bool:
    return any(told.get(one) is True for one in ("is_admin", "is_owner"))
