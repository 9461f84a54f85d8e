"""A workspace with the people, channels and groups in it, and the app that is installed there."""

import itertools
import time
from dataclasses import dataclass, field
from typing import Final, Literal

from standins.base.wire import Json

BOT_SCOPES: Final = (
    "app_mentions:read",
    "channels:history",
    "channels:join",
    "channels:read",
    "chat:write",
    "commands",
    "files:read",
    "files:write",
    "groups:history",
    "groups:read",
    "im:history",
    "im:read",
    "im:write",
    "reactions:write",
    "team:read",
    "usergroups:read",
    "users:read",
)
_ORGANISATION_NAME: Final = "Loopback Group"
_ID_DIGITS: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_ID_LENGTH: Final = 9

Kind = Literal["channels", "groups", "im"]  # as scopes name them
Installation = Literal["installed", "uninstalled", "revoked"]


@dataclass(slots=True, eq=False)
class Person:
    """Somebody, or a bot.

    team_id      of another workspace where they come through Slack Connect, or belong to another
                 one of the organisation
    is_guest     invited to some channels alone (`is_restricted`)
    is_org_admin they administer the whole organisation
    """

    id: str
    name: str
    team_id: str
    real_name: str = ""
    is_owner: bool = False
    is_admin: bool = False
    is_guest: bool = False
    is_stranger: bool = False
    is_bot: bool = False
    is_org_admin: bool = False
    tz: str = "Europe/London"
    locale: str = "en-GB"

    def profile_json(self) -> Json:
        """The user object of users.info."""
        shown = self.real_name or self.name.title()
        return {
            "id": self.id,
            "team_id": self.team_id,
            "name": self.name,
            "real_name": shown,
            "deleted": False,
            "is_admin": self.is_admin or self.is_owner,
            "is_owner": self.is_owner,
            "is_primary_owner": self.is_owner,
            "is_restricted": self.is_guest,
            "is_ultra_restricted": False,
            "is_stranger": self.is_stranger,
            "is_bot": self.is_bot,
            "is_app_user": False,
            "tz": self.tz,
            "profile": {"real_name": shown, "display_name": self.name, "team": self.team_id},
        }


@dataclass(slots=True, eq=False)
class Channel:
    """A place to write in.

    member_ids     who is in it, the bot's user too
    user_id        with whom the bot talks there, of a direct message
    team_id        of which workspace of the organisation; empty: of the first one
    bot_may_post   whether the workspace lets apps write there
    """

    id: str
    name: str
    is_private: bool = False
    is_archived: bool = False
    bot_may_post: bool = True
    is_ext_shared: bool = False
    member_ids: set[str] = field(default_factory=set)
    user_id: str | None = None
    team_id: str = ""

    @property
    def kind(self) -> Kind:
        """How scopes name what it is."""
        if self.user_id is not None:
            return "im"
        return "groups" if self.is_private else "channels"

    def json(self, bot_user_id: str) -> Json:
        """The conversation object."""
        if self.user_id is not None:
            return {"id": self.id, "is_im": True, "user": self.user_id, "is_archived": False}
        return {
            "id": self.id,
            "name": self.name,
            "name_normalized": self.name,
            "is_channel": not self.is_private,
            "is_group": self.is_private,
            "is_im": False,
            "is_mpim": False,
            "is_private": self.is_private,
            "is_archived": self.is_archived,
            "is_general": False,
            "is_ext_shared": self.is_ext_shared,
            "is_shared": self.is_ext_shared,
            "is_member": bot_user_id in self.member_ids,
            "num_members": len(self.member_ids),
        }


@dataclass(slots=True, eq=False)
class UserGroup:
    """People who are addressed together, as @moderators.

    team_id  as a channel's
    """

    id: str
    handle: str
    name: str
    user_ids: list[str] = field(default_factory=list)
    team_id: str = ""


@dataclass(slots=True, eq=False)
class Team:
    """A workspace.

    has_app  whether the app was added to it
    """

    id: str
    name: str
    domain: str
    has_app: bool = True


@dataclass(slots=True, eq=False)
class World:
    """One workspace with everything in it, or an organisation's, and what the app may do.

    organisation     the id of the one that has installed the app as a whole; None: the first
                     workspace has installed it for itself
    teams            its workspaces, the first one too
    base_url         where files and answers go; set when the server starts
    scopes           what the bot's token was granted
    commands         the slash commands that the app has registered; None: whatever is typed
    events           those that it has subscribed to, as manifests name them; None: all there are
    features         what else it offers, as its manifest has it
    is_internal      whether the app was made for this workspace alone: others may read history
                     once a minute
    max_file_bytes   what one file may weigh
    missing_blocks   types that its messages cannot show: not every workspace has the newest
    """

    team_id: str = "T0LOOPBACK"
    team_name: str = "Loopback"
    team_domain: str = "loopback"
    app_id: str = "A0LOOPBACK"
    bot_id: str = "B0LOOPBACK"
    bot_user_id: str = "U0LOOPBOT1"
    organisation: str | None = None
    teams: dict[str, Team] = field(default_factory=dict)
    base_url: str = ""
    scopes: set[str] = field(default_factory=lambda: set(BOT_SCOPES))
    commands: set[str] | None = None
    events: set[str] | None = None
    features: Json = field(default_factory=dict)
    is_internal: bool = False
    max_file_bytes: int = 4 * 2**20
    missing_blocks: set[str] = field(default_factory=set)
    installation: Installation = "installed"
    channels: dict[str, Channel] = field(default_factory=dict)
    people: dict[str, Person] = field(default_factory=dict)
    user_groups: dict[str, UserGroup] = field(default_factory=dict)
    _last_us: int = 0
    _counter: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))

    @property
    def bot(self) -> Person:
        """The app's bot user."""
        return self.people[self.bot_user_id]

    def install(self, manifest: Json) -> None:
        """Install the app as its manifest has it: what it may do, offers and is told."""
        self.features = manifest["features"]
        self.scopes = set(manifest["oauth_config"]["scopes"]["bot"])
        self.commands = {one["command"] for one in self.features.get("slash_commands", ())}
        self.events = set(manifest["settings"]["event_subscriptions"]["bot_events"])

    def installed_in(self) -> Json:
        """Where the app is installed, as oauth.v2.access tells it."""
        return {
            "team": None if self.organisation else {"id": self.team_id, "name": self.team_name},
            "enterprise": self.enterprise,
            "is_enterprise_install": self.organisation is not None,
        }

    @property
    def enterprise(self) -> Json | None:
        """The organisation that has installed the app, as payloads name it."""
        if self.organisation is None:
            return None
        return {"id": self.organisation, "name": _ORGANISATION_NAME}

    def team(self, team_id: str) -> Team:
        """A workspace; empty is the first one."""
        found = self.teams.get(team_id or self.team_id)
        return found or Team(self.team_id, self.team_name, self.team_domain)

    def new_ts(self) -> str:
        """A message's time, which is its id too; later than every one before."""
        self._last_us = max(time.time_ns() // 1_000, self._last_us + 1)
        return f"{self._last_us // 1_000_000}.{self._last_us % 1_000_000:06d}"

    def new_id(self, letter: str) -> str:
        """An id that nothing else has, such as F0000000A1."""
        number, digits = next(self._counter), ""
        while number or len(digits) < _ID_LENGTH:
            number, digit = divmod(number, len(_ID_DIGITS))
            digits = _ID_DIGITS[digit] + digits
        return letter + digits

    def person(self, name: str) -> Person:
        """Who is called so, such as "ada"; raises KeyError."""
        found = (one for one in self.people.values() if one.name == name)
        if (person := next(found, None)) is None:
            raise KeyError(name)
        return person

    def channel(self, name: str) -> Channel:
        """The channel of this name, such as "imagine"; raises KeyError."""
        found = (one for one in self.channels.values() if one.name == name)
        if (channel := next(found, None)) is None:
            raise KeyError(name)
        return channel

    def direct_message(self, user_id: str) -> Channel:
        """Where the bot talks with somebody alone; begun when it is asked for."""
        for channel in self.channels.values():
            if channel.user_id == user_id:
                return channel
        both = {user_id, self.bot_user_id}
        team_id = self.people[user_id].team_id
        channel = Channel(
            self.new_id("D"),
            "directmessage",
            member_ids=both,
            user_id=user_id,
            team_id=team_id if team_id in self.teams else "",
        )
        self.channels[channel.id] = channel
        return channel

    def has_bot(self, channel: Channel) -> bool:
        """Whether the bot is in it."""
        return self.bot_user_id in channel.member_ids


def default_world() -> World:
    """The workspace "Loopback": people, channels of every sort, and one user group."""
    world = World()
    home = world.team_id
    people = [
        Person("U0ADA00001", "ada", home, "Ada Adams", is_owner=True, is_admin=True),
        Person("U0BEN00001", "ben", home, "Ben Brown"),
        Person("U0CLEO0001", "cleo", home, "Cleo Clark"),
        Person("U0MIA00001", "mia", home, "Mia Miller"),
        Person("U0GUEST001", "gus", home, "Gus Guest", is_guest=True),
        Person("U0STRANGE1", "sam", "T0ELSEWHERE", "Sam Stranger", is_stranger=True),
        Person(world.bot_user_id, "imagine", home, "Imagine", is_bot=True),
    ]
    world.people = {person.id: person for person in people}
    ada, ben, cleo, mia, gus, sam, bot = (person.id for person in people)
    staff = {ada, ben, cleo, mia}
    channels = [
        Channel(
            "C0IMAGINE1",
            "imagine",
            is_ext_shared=True,
            member_ids={*staff, gus, sam, bot},
        ),
        Channel("C0GALLERY1", "gallery", member_ids={*staff, bot}),
        Channel("C0ELSEWHERE", "elsewhere", member_ids={*staff}),
        Channel("G0PRIVATE1", "private", is_private=True, member_ids={ada, ben}),
        Channel("C0ARCHIVED", "archived", is_archived=True, member_ids={*staff, bot}),
        Channel("C0ANNOUNCE", "announcements", bot_may_post=False, member_ids={*staff, bot}),
        Channel("G0MODLOG01", "mod-log", is_private=True, member_ids={ada, mia, bot}),
    ]
    world.channels = {channel.id: channel for channel in channels}
    world.user_groups = {
        "S0MODERATE": UserGroup("S0MODERATE", "moderators", "Moderators", [mia]),
    }
    return world


def organisation_world() -> World:
    """The same, in an organisation that has a second workspace, "Second"."""
    world = default_world()
    world.organisation = "E0LOOPBACK"
    first = Team(world.team_id, world.team_name, world.team_domain)
    second = Team("T0SECOND01", "Second", "second")
    world.teams = {team.id: team for team in (first, second)}
    people = [
        Person("U0DANA0001", "dana", second.id, "Dana Dixon", is_admin=True),
        Person("U0EVE00001", "eve", second.id, "Eve Evans"),
        Person("U0ORA00001", "ora", second.id, "Ora Owens", is_org_admin=True),
    ]
    world.people |= {person.id: person for person in people}
    dana, eve, ora = (person.id for person in people)
    members = {"U0ADA00001", dana, eve, ora, "U0STRANGE1", world.bot_user_id}
    world.channels["C0STUDIO01"] = Channel(
        "C0STUDIO01", "studio", is_ext_shared=True, member_ids=members, team_id=second.id
    )
    group = UserGroup("S0SECONDMO", "keepers", "Keepers", [eve], team_id=second.id)
    world.user_groups[group.id] = group
    return world
