"""A loopback Slack: a server on this machine that an unmodified slack_bolt connects to.

`LoopbackSlack` is the server with everything a person can do in it; tests stand on it.
"""

from standins.base.faults import Fault, Faults, GatewayFault
from standins.base.timers import ManualClock
from standins.slack.errors import ActionRefused, ApiError
from standins.slack.invocations import Invocation, Submission
from standins.slack.loopback import (
    DEFAULT_APP_TOKEN,
    DEFAULT_BOT_TOKEN,
    DEFAULT_SIGNING_SECRET,
    LoopbackSlack,
)
from standins.slack.views import View
from standins.slack.world import (
    Channel,
    Person,
    Team,
    UserGroup,
    World,
    default_world,
    organisation_world,
)

__all__ = [
    "DEFAULT_APP_TOKEN",
    "DEFAULT_BOT_TOKEN",
    "DEFAULT_SIGNING_SECRET",
    "ActionRefused",
    "ApiError",
    "Channel",
    "Fault",
    "Faults",
    "GatewayFault",
    "Invocation",
    "LoopbackSlack",
    "ManualClock",
    "Person",
    "Submission",
    "Team",
    "UserGroup",
    "View",
    "World",
    "default_world",
    "organisation_world",
]
