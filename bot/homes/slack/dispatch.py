"""What Slack tells, handed to the listeners once, whichever way it came and however often."""

import json
import logging
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, Final

from slack_bolt.app.async_app import AsyncApp
from slack_bolt.request.async_request import AsyncBoltRequest

log = logging.getLogger(__name__)

_REMEMBERED: Final = 10_000  # what Slack repeats, it repeats within minutes
_OK: Final = 200
_FAILED: Final = 500


class Dispatch:
    """Hands each thing that Slack tells to the app's listeners."""

    def __init__(self, app: AsyncApp) -> None:
        self._app = app
        self._known: OrderedDict[str, None] = OrderedDict()

    async def tell(self, body: dict[str, Any], delivery: str) -> dict[str, Any] | None:
        """What to answer, empty: that it was heard; None: nothing, so that Slack tells it again.

        What was told before is not done.

        delivery  what tells this delivery from others, where what it brings has no id of its own
        """
        # Slack tells an event again under its id; a trigger is made for each thing that is done.
        key = str(body.get("event_id") or body.get("trigger_id") or delivery)
        if key in self._known:
            return {}
        self._known[key] = None
        while len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)
        # Not as "http": there bolt would read the body itself, and it takes a command with the
        # word "payload" in it for an empty one. Who sent it has been looked at before.
        answer = await self._app.async_dispatch(AsyncBoltRequest(mode="socket_mode", body=body))
        if answer.status >= _FAILED:
            log.error("what Slack told could not be taken in: %s", kind_of(body))
            self._known.pop(key, None)
            return None
        if answer.status != _OK:
            log.info("nobody listens to that: %s", kind_of(body))
            return {}
        told: dict[str, Any] = json.loads(answer.body) if answer.body else {}
        return told


def kind_of(body: Mapping[str, Any]) -> str:
    """What sort of thing was told, with nothing of what somebody typed."""
    return str(body.get("type") or body.get("command"))
