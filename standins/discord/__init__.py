"""A loopback Discord: a server on this machine that an unmodified discord.py logs in to.

`LoopbackDiscord` is the server with everything a person can do in it; the playground's web page and
the tests stand on it.
"""

from standins.base.events import ChannelEvent
from standins.base.faults import Fault, Faults, GatewayFault
from standins.base.ports import PortTakenError
from standins.base.timers import ManualClock
from standins.discord.errors import (
    ApiError,
    CommandRefused,
    InteractionFailed,
    Refusal,
)
from standins.discord.forms import Upload
from standins.discord.interactions import Dialog, Interaction
from standins.discord.loopback import DEFAULT_TOKEN, LoopbackDiscord
from standins.discord.world import Channel, Overwrite, Person, Role, World

__all__ = [
    "DEFAULT_TOKEN",
    "ApiError",
    "Channel",
    "ChannelEvent",
    "CommandRefused",
    "Dialog",
    "Fault",
    "Faults",
    "GatewayFault",
    "Interaction",
    "InteractionFailed",
    "LoopbackDiscord",
    "ManualClock",
    "Overwrite",
    "Person",
    "PortTakenError",
    "Refusal",
    "Role",
    "Upload",
    "World",
]
