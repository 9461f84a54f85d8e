"""The methods of conversations.*, users.*, usergroups.* and team.*."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeVar

from standins.base.wire import Json
from standins.slack.errors import ApiError
from standins.slack.limits import STRANGERS_PAGE
from standins.slack.messages import Message, Messages
from standins.slack.places import need_channel_scope, need_team, readable
from standins.slack.web_api import Arguments, Method
from standins.slack.world import UserGroup, World

_MAX_PAGE: Final = 999
_TIME: Final = re.compile(r"[0-9]{1,12}(\.[0-9]{1,9})?")

T = TypeVar("T")


class Conversations:
    """Tells of the places and the people."""

    def __init__(self, world: World, messages: Messages, changed: Callable[[], None]) -> None:
        self._world = world
        self._messages = messages
        self._changed = changed

    def methods(self) -> Mapping[str, Method]:
        """By name."""
        groups = ("usergroups:read",)
        return {
            "conversations.open": Method(self._open, ("im:write",)),
            "conversations.info": Method(self._info),
            "conversations.history": Method(self._history),
            "conversations.replies": Method(self._replies),
            "conversations.members": Method(self._members),
            "conversations.join": Method(self._join, ("channels:join",)),
            "users.info": Method(self._user, ("users:read",)),
            "usergroups.list": Method(self._groups, groups),
            "usergroups.users.list": Method(self._group_users, groups),
            "team.info": Method(self._team, ("team:read",)),
        }

    def _open(self, arguments: Arguments) -> Json:
        channel_id = arguments.text("channel")
        if channel_id:
            return {"channel": {"id": readable(self._world, channel_id).id}}
        users = [one for one in (arguments.text("users") or "").split(",") if one]
        if not users:
            raise ApiError("users_list_not_supplied")
        if len(users) > 1:
            raise ApiError("too_many_users")  # of several at once only apps that ask for more
        person = self._world.people.get(users[0])
        if person is None:
            raise ApiError("user_not_found")
        if person.is_bot:
            raise ApiError("cannot_dm_bot")
        before = len(self._world.channels)
        channel = self._world.direct_message(person.id)
        told: Json = {"id": channel.id}
        if arguments.flag("return_im"):
            told = channel.json(self._world.bot_user_id)
        if len(self._world.channels) == before:
            return {"channel": told, "no_op": True, "already_open": True}
        self._changed()
        return {"channel": told}

    def _info(self, arguments: Arguments) -> Json:
        channel = readable(self._world, arguments.required("channel"), inside=False)
        need_channel_scope(self._world, channel, "read")
        return {"channel": channel.json(self._world.bot_user_id)}

    def _members(self, arguments: Arguments) -> Json:
        channel = readable(self._world, arguments.required("channel"), inside=False)
        need_channel_scope(self._world, channel, "read")
        members, cursor = _page(sorted(channel.member_ids), arguments, _MAX_PAGE)
        return {"members": members, "response_metadata": {"next_cursor": cursor}}

    def _join(self, arguments: Arguments) -> Json:
        channel = readable(self._world, arguments.required("channel"), inside=False)
        if channel.kind != "channels":
            raise ApiError("method_not_supported_for_channel_type")
        if channel.is_archived:
            raise ApiError("is_archived")
        told: Json = {}
        if self._world.has_bot(channel):
            told = {
                "warning": "already_in_channel",
                "response_metadata": {"warnings": ["already_in_channel"]},
            }
        channel.member_ids.add(self._world.bot_user_id)
        self._changed()
        return {"channel": channel.json(self._world.bot_user_id), **told}

    def _history(self, arguments: Arguments) -> Json:
        channel = readable(self._world, arguments.required("channel"))
        need_channel_scope(self._world, channel, "history")
        seen = [
            one
            for one in self._messages.of(channel)
            if one.viewer_id is None and (one.thread_ts is None or one.broadcast)
        ]
        return self._told(seen[::-1], arguments)

    def _replies(self, arguments: Arguments) -> Json:
        channel = readable(self._world, arguments.required("channel"))
        need_channel_scope(self._world, channel, "history")
        parent = self._messages.find(channel.id, arguments.required("ts"))
        if parent is None or parent.viewer_id is not None:
            raise ApiError("thread_not_found")
        replies = [one for one in self._messages.replies(parent) if one.viewer_id is None]
        return self._told([parent, *replies], arguments)

    def _told(self, messages: Sequence[Message], arguments: Arguments) -> Json:
        oldest, latest = arguments.text("oldest") or "", arguments.text("latest") or ""
        for name, bound in (("oldest", oldest), ("latest", latest)):
            if bound and not _TIME.fullmatch(bound):
                raise ApiError(f"invalid_ts_{name}")
        inclusive = arguments.flag("inclusive")
        within = [
            one
            for one in messages
            if (not oldest or float(one.ts) > float(oldest) or (inclusive and one.ts == oldest))
            and (not latest or float(one.ts) < float(latest) or (inclusive and one.ts == latest))
        ]
        most = _MAX_PAGE if self._world.is_internal else STRANGERS_PAGE
        page, cursor = _page(within, arguments, most)
        metadata = arguments.flag("include_all_metadata")
        told: Json = {
            "messages": [self._messages.json(one, metadata=metadata) for one in page],
            "has_more": bool(cursor),
        }
        if cursor:
            told["response_metadata"] = {"next_cursor": cursor}
        return told

    def _user(self, arguments: Arguments) -> Json:
        person = self._world.people.get(arguments.required("user"))
        if person is None:
            raise ApiError("user_not_found")
        told = person.profile_json()
        if arguments.flag("include_locale"):
            told["locale"] = person.locale
        if self._world.organisation is not None and not person.is_stranger:
            told["enterprise_user"] = {
                "id": person.id,
                "enterprise_id": self._world.organisation,
                "is_admin": person.is_org_admin,
                "is_owner": False,
                "teams": [person.team_id],
            }
        return {"user": told}

    def _groups(self, arguments: Arguments) -> Json:
        told, team_id = [], self._team_id(arguments)
        for group in self._world.user_groups.values():
            if self._world.team(group.team_id).id != team_id:
                continue
            one = _group_json(group, team_id)
            if arguments.flag("include_users"):
                one["users"] = list(group.user_ids)
            told.append(one)
        return {"usergroups": told}

    def _group_users(self, arguments: Arguments) -> Json:
        group = self._world.user_groups.get(arguments.required("usergroup"))
        team_id = self._team_id(arguments)
        if group is None or self._world.team(group.team_id).id != team_id:
            raise ApiError("no_such_subteam")
        return {"users": list(group.user_ids)}

    def _team_id(self, arguments: Arguments) -> str:
        """Of which workspace something is asked: with an organisation's token that must be said.

        Of a workspace's own token it does not count (docs.slack.dev/enterprise). Raises ApiError.
        """
        world = self._world
        if world.organisation is None:
            return world.team_id
        team_id = arguments.text("team_id")
        if not team_id:
            raise ApiError("missing_argument")
        if team_id not in world.teams:
            raise ApiError("invalid_team")
        need_team(world, team_id)
        return team_id

    def _team(self, arguments: Arguments) -> Json:
        world = self._world
        if arguments.text("team") not in {None, world.team_id}:
            raise ApiError("team_not_found")
        return {
            "team": {
                "id": world.team_id,
                "name": world.team_name,
                "domain": world.team_domain,
                "email_domain": "",
            }
        }


def _group_json(group: UserGroup, team_id: str) -> Json:
    return {
        "id": group.id,
        "team_id": team_id,
        "is_usergroup": True,
        "name": group.name,
        "handle": group.handle,
        "date_delete": 0,
        "user_count": len(group.user_ids),
    }


def _page(items: Sequence[T], arguments: Arguments, most: int) -> tuple[list[T], str]:
    """What fits on the page that was asked for, and the cursor to the next; raises ApiError."""
    limit = arguments.number("limit", 100)
    if limit < 1:
        raise ApiError("invalid_limit")
    cursor = arguments.text("cursor") or "next:0"
    start = cursor.removeprefix("next:")
    if not cursor.startswith("next:") or not start.isascii() or not start.isdigit():
        raise ApiError("invalid_cursor")
    end = int(start) + min(limit, most)
    return list(items[int(start) : end]), f"next:{end}" if end < len(items) else ""
