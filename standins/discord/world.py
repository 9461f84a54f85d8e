"""The little world inside the loopback: one guild, its channels, roles and people, the bot.

Everything here is plain state and its JSON as Discord writes it. What somebody may do is what their
roles grant, and in a channel what its overwrites make of it there. What is no channel of the guild
(direct messages, other guilds) stands beside its channels.
"""

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Final

from standins.base.wire import Json
from standins.discord.wire import Snowflakes

# Kinds of channels. A post in a forum is a public thread.
TEXT, DM, GROUP_DM, PUBLIC_THREAD, PRIVATE_THREAD, FORUM = 0, 1, 3, 11, 12, 15
PRIVATE_CHANNELS: Final = frozenset({DM, GROUP_DM})
THREADS: Final = frozenset({PUBLIC_THREAD, PRIVATE_THREAD})
# Where an interaction comes from, and for whom the application was installed.
IN_GUILD, IN_BOT_DM, IN_PRIVATE_CHANNEL = 0, 1, 2
GUILD_INSTALL, USER_INSTALL = 0, 1

ADMINISTRATOR = 1 << 3
MANAGE_CHANNELS = 1 << 4
MANAGE_GUILD = 1 << 5
VIEW_CHANNEL = 1 << 10
SEND_MESSAGES = 1 << 11
MANAGE_MESSAGES = 1 << 13
EMBED_LINKS = 1 << 14
ATTACH_FILES = 1 << 15
READ_MESSAGE_HISTORY = 1 << 16
MENTION_EVERYONE = 1 << 17
USE_EXTERNAL_EMOJIS = 1 << 18
MANAGE_ROLES = 1 << 28
USE_APPLICATION_COMMANDS = 1 << 31
MANAGE_THREADS = 1 << 34
SEND_MESSAGES_IN_THREADS = 1 << 38
USE_EXTERNAL_APPS = 1 << 50
TALK = (
    VIEW_CHANNEL
    | SEND_MESSAGES
    | EMBED_LINKS
    | ATTACH_FILES
    | READ_MESSAGE_HISTORY
    | MENTION_EVERYONE
    | USE_APPLICATION_COMMANDS
    | SEND_MESSAGES_IN_THREADS
    | USE_EXTERNAL_APPS
)
# What an application that is no member of a place may do in its answers there, at most.
_ANSWER = ATTACH_FILES | EMBED_LINKS | MENTION_EVERYONE | USE_EXTERNAL_EMOJIS
# What everybody may do where nobody gives permissions: in direct messages.
_PRIVATE = TALK | USE_EXTERNAL_EMOJIS
ALL_PERMISSIONS = (1 << 53) - 1

# Application flags (the "limited" ones) that grant the privileged intents.
_INTENT_FLAGS = {1 << 8: 1 << 13, 1 << 1: 1 << 15, 1 << 15: 1 << 19}
PRIVILEGED_INTENTS = sum(_INTENT_FLAGS)

_FOUNDED = "2026-01-01T00:00:00.000000+00:00"


@dataclass(slots=True)
class Role:
    """A role in the guild; the one with the guild's id is @everyone.

    bot_id  whose own role it is: Discord makes one for each bot that is invited with permissions
    """

    id: int
    name: str
    permissions: int = 0
    mentionable: bool = False
    position: int = 0
    bot_id: int | None = None


@dataclass(slots=True)
class Person:
    """A user and guild member; the bot is one too.

    locale          the language that they read Discord in
    has_installed   whether they have installed the application for themselves
    takes_messages  whether a bot may begin to write to them in private
    """

    id: int
    username: str
    display_name: str
    bot: bool = False
    role_ids: tuple[int, ...] = ()
    locale: str = "en-US"
    has_installed: bool = False
    takes_messages: bool = True


@dataclass(frozen=True, slots=True)
class Overwrite:
    """What a channel allows a role or a person beyond the server's permissions, and denies them."""

    allow: int = 0
    deny: int = 0


@dataclass(slots=True)
class Channel:
    """A channel of whatever kind.

    overwrites       by the id of a role or a person, as Discord's
    bot_permissions  what of all this is left to the bot: short for an overwrite of its own
    guild_id         of another server that it belongs to; None: the world's own. Its people and
                     roles are those of the world. What is private belongs to none
    kind             as Discord numbers them
    parent_id        of a thread: the text channel or forum that it is in, by whose permissions it
                     goes
    member_ids       whose it is: of a private channel, of a private thread
    archived, locked  of a thread
    """

    id: int
    name: str
    topic: str = ""
    position: int = 0
    bot_permissions: int = ALL_PERMISSIONS
    last_message_id: int | None = None
    guild_id: int | None = None
    kind: int = TEXT
    parent_id: int | None = None
    member_ids: tuple[int, ...] = ()
    archived: bool = False
    locked: bool = False
    nsfw: bool = False
    overwrites: dict[int, Overwrite] = field(default_factory=dict)


@dataclass(slots=True)
class World:
    """One guild with everything in it.

    base_url             where attachments and avatars are served; set when the server starts
    privileged_intents   intents (bits) that the application's owner has switched on
    bot_is_member        whether the bot has been invited to the guild
    preferred_locale     the language that the guild says it speaks
    strange_guild_ids    other servers that channels belong to, to which it has not been
    """

    application_id: int = 900_000_000_000_000_001
    guild_id: int = 900_000_000_000_000_100
    guild_name: str = "Playground"
    base_url: str = ""
    privileged_intents: int = 0
    bot_is_member: bool = True
    preferred_locale: str = "en-US"
    strange_guild_ids: set[int] = field(default_factory=set)
    channels: dict[int, Channel] = field(default_factory=dict)
    people: dict[int, Person] = field(default_factory=dict)
    roles: dict[int, Role] = field(default_factory=dict)
    snowflakes: Snowflakes = field(default_factory=Snowflakes)

    @property
    def bot(self) -> Person:
        """The application's bot user; it has the application's id, as Discord's newer ones do."""
        return self.people[self.application_id]

    @property
    def owner(self) -> Person:
        """Who may do everything in the guild."""
        return self.first_person

    @property
    def first_channel(self) -> Channel:
        """Where people write unless told otherwise."""
        return next(iter(self.channels.values()))

    @property
    def first_person(self) -> Person:
        """Who acts unless told otherwise."""
        return next(person for person in self.people.values() if not person.bot)

    def permissions(self, person: Person, channel: Channel | None = None) -> int:
        """What somebody may do in the guild, or in one channel."""
        if channel is not None and channel.kind in PRIVATE_CHANNELS:
            return _PRIVATE
        if person is self.owner:
            return ALL_PERMISSIONS
        granted = 0
        for role_id in (self.guild_id, *person.role_ids):
            granted |= self.roles[role_id].permissions
        if granted & ADMINISTRATOR:
            return ALL_PERMISSIONS
        return granted if channel is None else self._overwritten(granted, person, channel)

    def _overwritten(self, granted: int, person: Person, channel: Channel) -> int:
        """First by what goes for everyone, then by their roles together, then by their own."""
        place = self._parent(channel) or channel
        for ids in ((self.guild_id,), person.role_ids, (person.id,)):
            found = [place.overwrites[one] for one in ids if one in place.overwrites]
            for overwrite in found:
                granted &= ~overwrite.deny
            for overwrite in found:  # one role's leave outweighs another's denial
                granted |= overwrite.allow
        return granted & place.bot_permissions if person is self.bot else granted

    def guild_of(self, channel: Channel) -> int | None:
        """The server that a channel belongs to; None: it is private."""
        return None if channel.kind in PRIVATE_CHANNELS else channel.guild_id or self.guild_id

    def context(self, channel: Channel) -> int:
        """What kind of place an interaction comes from."""
        if channel.kind not in PRIVATE_CHANNELS:
            return IN_GUILD
        with_bot = channel.kind == DM and self.bot.id in channel.member_ids
        return IN_BOT_DM if with_bot else IN_PRIVATE_CHANNEL

    def direct_messages(self, person: Person) -> Channel:
        """The bot's with somebody, which are there from the first time they are asked for."""
        members = {person.id, self.bot.id}
        for channel in self.channels.values():
            if channel.kind == DM and set(channel.member_ids) == members:
                return channel
        opened = Channel(self.snowflakes.new(), "", kind=DM, member_ids=(person.id, self.bot.id))
        self.channels[opened.id] = opened
        return opened

    def has_bot(self, channel: Channel) -> bool:
        """Whether the bot is a member there; elsewhere its own token opens nothing."""
        guild_id = self.guild_of(channel)
        if guild_id is None:
            return self.bot.id in channel.member_ids
        if guild_id == self.guild_id:
            return self.bot_is_member
        return guild_id not in self.strange_guild_ids

    def is_nsfw(self, channel: Channel) -> bool:
        """Whether it is age-restricted; a thread is what its parent is."""
        parent = self._parent(channel)
        return channel.nsfw if parent is None else parent.nsfw

    def installs(
        self,
        person: Person,
        channel: Channel,
        kinds: Collection[int] = (GUILD_INSTALL, USER_INSTALL),
    ) -> Json:
        """By which installations somebody has the application in a channel, and whose they are.

        As `authorizing_integration_owners` says it; empty: they do not have it there.

        kinds  those that are asked for, such as a command's `integration_types`
        """
        owners: Json = {}
        guild_id = self.guild_of(channel)
        if GUILD_INSTALL in kinds and self.has_bot(channel):
            if guild_id is not None:
                owners[str(GUILD_INSTALL)] = str(guild_id)
            elif self.context(channel) == IN_BOT_DM and self.bot_is_member:  # they share the guild
                owners[str(GUILD_INSTALL)] = "0"
        if USER_INSTALL in kinds and person.has_installed:
            owners[str(USER_INSTALL)] = str(person.id)
        return owners

    def bot_permissions(self, channel: Channel) -> int:
        """What the bot may do in a channel by its own token: nothing where it is no member."""
        if not self.has_bot(channel):
            return 0
        granted = self.permissions(self.bot, channel)
        is_inside = channel.kind != PRIVATE_THREAD or self.bot.id in channel.member_ids
        return granted if is_inside or granted & MANAGE_THREADS else 0

    def app_permissions(self, channel: Channel, person: Person) -> int:
        """What the application may do in a channel, as somebody's interaction tells it."""
        if channel.kind in PRIVATE_CHANNELS:
            with_bot = self.context(channel) == IN_BOT_DM
            return _ANSWER if with_bot else _ANSWER & ~USE_EXTERNAL_EMOJIS
        if not self.has_bot(channel):
            return _ANSWER & self.permissions(person, channel)
        return self.permissions(self.bot, channel)

    def _parent(self, channel: Channel) -> Channel | None:
        """Of a thread; None also where it is deleted and its thread with it."""
        return None if channel.parent_id is None else self.channels.get(channel.parent_id)

    def take_from_bot(self, permissions: int) -> None:
        """Take permissions from the bot in the whole guild.

        A role only ever grants, so they are taken from @everyone as well as from the bot's roles.
        In one channel alone they are taken by its `bot_permissions`.
        """
        for role_id in (self.guild_id, *self.bot.role_ids):
            self.roles[role_id].permissions &= ~permissions

    def user_json(self, person: Person) -> Json:
        """A user object."""
        return {
            "id": str(person.id),
            "username": person.username,
            "discriminator": "0000" if person.bot else "0",
            "global_name": None if person.bot else person.display_name,
            "avatar": None,
            "banner": None,
            "accent_color": None,
            "avatar_decoration_data": None,
            "primary_guild": None,
            "public_flags": 0,
            "flags": 0,
            "bot": person.bot,
        }

    def own_user_json(self) -> Json:
        """The bot's user object as only the bot itself sees it."""
        own = {"mfa_enabled": True, "locale": "en-US", "verified": True, "email": None}
        return {**self.user_json(self.bot), **own}

    def member_json(self, person: Person, *, with_user: bool = True) -> Json:
        """A guild member object."""
        member: Json = {
            "nick": None,
            "avatar": None,
            "banner": None,
            "roles": [str(role_id) for role_id in person.role_ids],
            "joined_at": _FOUNDED,
            "premium_since": None,
            "communication_disabled_until": None,
            "deaf": False,
            "mute": False,
            "flags": 0,
            "pending": False,
        }
        return {**member, "user": self.user_json(person)} if with_user else member

    def role_json(self, role: Role) -> Json:
        """A role object."""
        tags = {} if role.bot_id is None else {"tags": {"bot_id": str(role.bot_id)}}
        return {
            "id": str(role.id),
            "name": role.name,
            "permissions": str(role.permissions),
            "position": role.position,
            "color": 0,
            "colors": {"primary_color": 0, "secondary_color": None, "tertiary_color": None},
            "hoist": False,
            "managed": role.bot_id is not None,
            "mentionable": role.mentionable,
            "icon": None,
            "unicode_emoji": None,
            "flags": 0,
            **tags,
        }

    def channel_json(self, channel: Channel) -> Json:
        """A channel object of its kind."""
        last = channel.last_message_id
        shared: Json = {
            "id": str(channel.id),
            "type": channel.kind,
            "flags": 0,
            "last_message_id": None if last is None else str(last),
            "last_pin_timestamp": None,
        }
        if channel.kind in PRIVATE_CHANNELS:
            return shared | self._private_json(channel)
        shared |= {
            "guild_id": str(self.guild_of(channel)),
            "name": channel.name,
            "parent_id": None if channel.parent_id is None else str(channel.parent_id),
            "rate_limit_per_user": 0,
        }
        if channel.kind in THREADS:
            return shared | self._thread_json(channel)
        return {
            **shared,
            "topic": channel.topic or None,
            "position": channel.position,
            "permission_overwrites": self._overwrites_json(channel),
            "nsfw": channel.nsfw,
        }

    def _overwrites_json(self, channel: Channel) -> list[Json]:
        overwrites = dict(channel.overwrites)
        missing = ALL_PERMISSIONS & ~channel.bot_permissions
        if missing:
            own = overwrites.get(self.bot.id, Overwrite())
            overwrites[self.bot.id] = Overwrite(own.allow & ~missing, own.deny | missing)
        return [
            {
                "id": str(one),
                "type": int(one not in self.roles),  # 0: a role's, 1: a person's
                "allow": str(overwrite.allow),
                "deny": str(overwrite.deny),
            }
            for one, overwrite in overwrites.items()
        ]

    def _private_json(self, channel: Channel) -> Json:
        # As the application is shown it: itself is none of them.
        others = [self.people[one] for one in channel.member_ids if one != self.bot.id]
        recipients = {"recipients": [self.user_json(person) for person in others]}
        if channel.kind == DM:
            return recipients
        owner_id = str(others[0].id)
        return {**recipients, "name": channel.name or None, "icon": None, "owner_id": owner_id}

    def _thread_json(self, channel: Channel) -> Json:
        metadata: Json = {
            "archived": channel.archived,
            "archive_timestamp": _FOUNDED,
            "auto_archive_duration": 1_440,
            "locked": channel.locked,
            "create_timestamp": _FOUNDED,
        }
        if channel.kind == PRIVATE_THREAD:
            metadata["invitable"] = True
        return {
            "owner_id": str(self.owner.id),
            "thread_metadata": metadata,
            "message_count": 0,
            "member_count": len(channel.member_ids),
            "total_message_sent": 0,
        }

    def guild_channels(self) -> list[Channel]:
        """The guild's own channels, without the threads in them."""
        return [
            channel
            for channel in self.channels.values()
            if self.guild_of(channel) == self.guild_id and channel.kind not in THREADS
        ]

    def _active_threads(self) -> list[Channel]:
        return [
            channel
            for channel in self.channels.values()
            if channel.kind in THREADS
            and self.guild_of(channel) == self.guild_id
            and not channel.archived
        ]

    def guild_json(self) -> Json:
        """The guild as a request for it is answered."""
        return {
            "id": str(self.guild_id),
            "name": self.guild_name,
            "owner_id": str(self.owner.id),
            "application_id": None,
            "region": "deprecated",
            "preferred_locale": self.preferred_locale,
            "features": [],
            "icon": None,
            "splash": None,
            "banner": None,
            "description": None,
            "verification_level": 0,
            "default_message_notifications": 1,
            "explicit_content_filter": 0,
            "mfa_level": 0,
            "nsfw": False,
            "nsfw_level": 0,
            "premium_tier": 0,
            "premium_progress_bar_enabled": False,
            "premium_subscription_count": 0,
            "home_header": None,
            "discovery_splash": None,
            "safety_alerts_channel_id": None,
            "incidents_data": None,
            "max_presences": None,
            "max_members": 500_000,
            "max_video_channel_users": 25,
            "max_stage_video_channel_users": 50,
            "widget_enabled": False,
            "widget_channel_id": None,
            "system_channel_id": None,
            "system_channel_flags": 0,
            "rules_channel_id": None,
            "public_updates_channel_id": None,
            "afk_channel_id": None,
            "afk_timeout": 300,
            "vanity_url_code": None,
            "roles": [self.role_json(role) for role in self.roles.values()],
            "emojis": [],
            "stickers": [],
        }

    def created_guild_json(self, *, all_members: bool) -> Json:
        """The guild as GUILD_CREATE carries it; of the members only the bot unless told."""
        members = list(self.people.values()) if all_members else [self.bot]
        return {
            **self.guild_json(),
            "unavailable": False,
            "large": False,
            "joined_at": _FOUNDED,
            "member_count": len(self.people),
            "channels": [
                self.channel_json(channel)
                for channel in self.guild_channels()
                if self.bot_permissions(channel) & VIEW_CHANNEL
            ],
            "members": [self.member_json(person) for person in members],
            "threads": [
                self.channel_json(thread)
                for thread in self._active_threads()
                if self.bot_permissions(thread) & VIEW_CHANNEL
            ],
            "voice_states": [],
            "presences": [],
            "stage_instances": [],
            "guild_scheduled_events": [],
            "soundboard_sounds": [],
        }

    def own_guild_json(self) -> Json:
        """The guild as one of the bot's own, with what the bot may do in it."""
        return {
            "id": str(self.guild_id),
            "name": self.guild_name,
            "icon": None,
            "banner": None,
            "owner": False,
            "permissions": str(self.permissions(self.bot)),
            "features": [],
        }

    def application_json(self) -> Json:
        """The application as its owner sees it."""
        flags = sum(
            flag for intent, flag in _INTENT_FLAGS.items() if self.privileged_intents & intent
        )
        return {
            "id": str(self.application_id),
            "name": self.bot.display_name,
            "icon": None,
            "description": "",
            "type": None,
            "bot": self.user_json(self.bot),
            "bot_public": True,
            "bot_require_code_grant": False,
            "verify_key": "0" * 64,
            "flags": flags,
            "flags_new": str(flags),
            "redirect_uris": [],
            "interactions_endpoint_url": None,
            "role_connections_verification_url": None,
            "owner": self.user_json(self.first_person),
            "approximate_guild_count": 1,
            "approximate_user_install_count": 0,
            "approximate_user_authorization_count": 0,
            "explicit_content_filter": 0,
            "team": None,
            "eligible_oauth2_scopes": ["bot", "applications.commands"],
        }


def default_world() -> World:
    """A guild with two channels, four people, their roles and the bot; the ids are stable.

    Ada owns it, Ben is a painter, Mia a moderator.
    """
    world = World()
    everyone = Role(world.guild_id, "@everyone", TALK)
    painters = Role(900_000_000_000_000_201, "Painters", mentionable=True, position=1)
    moderators = Role(900_000_000_000_000_202, "Moderators", MANAGE_MESSAGES, position=2)
    own = Role(900_000_000_000_000_203, "Imagine", TALK, position=3, bot_id=world.application_id)
    world.roles = {role.id: role for role in (everyone, painters, moderators, own)}
    channels = (
        Channel(900_000_000_000_000_301, "imagine", "Type /imagine and say what to draw."),
        Channel(900_000_000_000_000_302, "gallery", "The ones worth keeping.", position=1),
    )
    world.channels = {channel.id: channel for channel in channels}
    people = (
        Person(900_000_000_000_000_401, "ada", "Ada"),
        Person(900_000_000_000_000_402, "ben", "Ben", role_ids=(painters.id,)),
        Person(900_000_000_000_000_403, "cleo", "Cleo"),
        Person(900_000_000_000_000_404, "mia", "Mia", role_ids=(moderators.id,)),
        Person(world.application_id, "imagine", "Imagine", bot=True, role_ids=(own.id,)),
    )
    world.people = {person.id: person for person in people}
    return world


def varied_world() -> World:
    """The default one with everybody and every place that rules of a server make a difference to.

    Besides Ada, Ben, Cleo and Mia there are Tess, who is trusted, and Max, a manager. There is a
    thread, a forum with a post, an age-restricted channel, one that only moderators, managers and
    the bot see, and everybody's direct messages with the bot.
    """
    world = default_world()
    trusted = Role(900_000_000_000_000_204, "Trusted", position=4)
    duties = MANAGE_GUILD | MANAGE_CHANNELS | MANAGE_ROLES | MANAGE_MESSAGES | MANAGE_THREADS
    managers = Role(900_000_000_000_000_205, "Managers", duties, position=5)
    world.roles |= {role.id: role for role in (trusted, managers)}
    tess = Person(900_000_000_000_000_405, "tess", "Tess", role_ids=(trusted.id,))
    max_ = Person(900_000_000_000_000_406, "max", "Max", role_ids=(managers.id,))
    world.people |= {person.id: person for person in (tess, max_)}
    text = world.first_channel.id
    moderators = 900_000_000_000_000_202
    insiders = {one: Overwrite(VIEW_CHANNEL) for one in (moderators, managers.id, world.bot.id)}
    more = [
        Channel(900_000_000_000_000_311, "sketches", kind=PUBLIC_THREAD, parent_id=text),
        Channel(900_000_000_000_000_303, "showcase", kind=FORUM, position=2),
        Channel(
            900_000_000_000_000_312,
            "My first picture",
            kind=PUBLIC_THREAD,
            parent_id=900_000_000_000_000_303,
        ),
        Channel(900_000_000_000_000_304, "late-night", position=3, nsfw=True),
        Channel(
            900_000_000_000_000_305,
            "mod-log",
            "What is reported and what became of it.",
            position=4,
            overwrites={world.guild_id: Overwrite(deny=VIEW_CHANNEL), **insiders},
        ),
    ]
    people = [person for person in world.people.values() if not person.bot]
    more += [
        Channel(900_000_000_000_000_321 + place, "", kind=DM, member_ids=(one.id, world.bot.id))
        for place, one in enumerate(people)
    ]
    world.channels |= {channel.id: channel for channel in more}
    return world
