"""What tests of the moderators' desk share: a channel for it, people of every rank, a filter."""

import asyncio
from collections.abc import Callable
from typing import Any, Final

from bot.core.card import FAILURE_MARK
from standins.discord.components import pressable, text_of
from standins.discord.interactions import Interaction
from standins.discord.loopback import LoopbackDiscord
from standins.discord.world import (
    MANAGE_GUILD,
    MANAGE_MESSAGES,
    VIEW_CHANNEL,
    Channel,
    Overwrite,
    Person,
    Role,
)
from tests.bot.conftest import SIZES, Bot
from tests.bot.homes.discord.test_jobs_in_the_channel import ADA, BEN, CLEO
from tests.fakes import FakeFilter, FakePipeline

Message = dict[str, Any]

MIA: Final = 900_000_000_000_000_404  # moderates the server
OLA: Final = 900_000_000_000_000_406  # moderates the gallery alone, and sees the desk
MAX: Final = 900_000_000_000_000_407  # manages the server
GALLERY: Final = 900_000_000_000_000_302
MOD_LOG: Final = 900_000_000_000_000_305
MANAGERS: Final = 900_000_000_000_000_205
EVERY_RANK: Final = {
    "asker": BEN,
    "other": CLEO,
    "moderator of another channel": OLA,
    "moderator": MIA,
    "manager": MAX,
    "owner": ADA,
}
ORDERLY: Final = ("moderator", "manager", "owner")


def set_up(loopback: LoopbackDiscord) -> None:
    """Put a private channel for the moderators there, and people of every rank."""
    world = loopback.world
    loopback.change_role(Role(MANAGERS, "Managers", MANAGE_GUILD, position=4))
    world.people[OLA] = Person(OLA, "ola", "Ola")
    world.people[MAX] = Person(MAX, "max", "Max", role_ids=(MANAGERS,))
    sees = {one: Overwrite(VIEW_CHANNEL) for one in (*EVERY_RANK.values(), MIA, world.bot.id)}
    hidden = {world.guild_id: Overwrite(deny=VIEW_CHANNEL)}
    loopback.change_channel(Channel(MOD_LOG, "mod-log", position=2, overwrites=hidden | sees))
    gallery = world.channels[GALLERY]
    gallery.overwrites = {OLA: Overwrite(MANAGE_MESSAGES)}


def doubtful(score: float = 0.9) -> FakePipeline:
    """A pipeline whose pictures are not shown without a moderator."""
    return FakePipeline(SIZES, checks=("nsfw",), scores={"nsfw": score})


def filtering(bot: Bot) -> FakeFilter:
    """Have a bot read prompts with a filter that finds terms as they are written."""
    found = FakeFilter()
    bot.app.moderators._filter = found
    bot.app.moderators._gate._filter = found
    return found


async def admin(
    loopback: LoopbackDiscord, command: str, *, user_id: int = ADA, **options: object
) -> Interaction:
    """Somebody types one of the commands."""
    return await loopback.slash(f"imagine-admin {command}", options, user_id=user_id)


async def said(asked: Interaction) -> str:
    """What the bot answers, to the one who asked alone."""
    shown = await asked.until(lambda message: bool(text_of(message)))
    assert shown["flags"] & 64
    return text_of(shown)


async def refused(asked: Interaction) -> str:
    """Why the bot does not do it, to the one who asked alone."""
    while True:
        answers = [*asked.followups, *filter(None, [asked.answer])]
        for message in answers:
            if text_of(message).startswith(FAILURE_MARK):
                assert message["flags"] & 64
                return text_of(message)
        await asyncio.sleep(0.005)


async def with_desk(loopback: LoopbackDiscord) -> None:
    """Name the desk."""
    assert str(MOD_LOG) in await said(await admin(loopback, "desk", channel=MOD_LOG))


async def at_desk(
    loopback: LoopbackDiscord, condition: Callable[[Message], bool] = lambda _: True
) -> Message:
    """The first message at the desk of which that holds."""
    while True:
        for message in loopback.history(MOD_LOG):
            if condition(message):
                return message
        await asyncio.sleep(0.005)


async def press(
    loopback: LoopbackDiscord, message: Message, kind: str, user_id: int
) -> Interaction:
    """Somebody presses a button of a case."""
    ids = [str(one["custom_id"]) for one in pressable(message)]
    (custom_id,) = [one for one in ids if one.startswith(f"v1:{kind}:")]
    return await loopback.press(int(message["id"]), custom_id, user_id=user_id)


def kinds(message: Message) -> list[str]:
    """What may be pressed."""
    return [str(one["custom_id"]).split(":")[1] for one in pressable(message)]
