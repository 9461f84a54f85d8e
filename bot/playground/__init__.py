"""A loopback Discord: a server on this machine that an unmodified discord.py logs in to.

`LoopbackDiscord` is the server with everything a person can do in it; the playground's web page and
the tests stand on it.
"""

from bot.playground.errors import (
    ApiError,
    CommandRefused,
    InteractionFailed,
    PortTakenError,
    Refusal,
)
from bot.playground.events import ChannelEvent
from bot.playground.faults import Fault, Faults, GatewayFault
from bot.playground.forms import Upload
from bot.playground.interactions import Interaction
from bot.playground.loopback import DEFAULT_TOKEN, LoopbackDiscord
from bot.playground.timers import ManualClock
from bot.playground.world import Channel, Person, Role, World

__all__ = [
    "DEFAULT_TOKEN",
    "ApiError",
    "Channel",
    "ChannelEvent",
    "CommandRefused",
    "Fault",
    "Faults",
    "GatewayFault",
    "Interaction",
    "InteractionFailed",
    "LoopbackDiscord",
    "ManualClock",
    "Person",
    "PortTakenError",
    "Refusal",
    "Role",
    "Upload",
    "World",
]
