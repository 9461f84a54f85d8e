"""What people do with the app, and what it answers: acks, trigger ids, response URLs."""

import asyncio
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from standins.base.timers import Timers
from standins.base.wire import Json
from standins.slack.errors import ApiError
from standins.slack.messages import Draft, Message, Messages
from standins.slack.views import View
from standins.slack.world import Channel, World

TRIGGER_LIFE_S: Final = 3.0
RESPONSE_LIFE_S, RESPONSE_USES = 30 * 60.0, 5


class Invocation:
    """One command, press or shortcut of a person, and what became of it.

    acked          whether the app took it in time
    ack_payload    what it said with that, {}: nothing
    ack_s          how long it took, in seconds of the clock
    failed         whether Slack told the person that the app did not respond
    response_url   where the app may answer, None: nowhere
    responses      what was sent there and accepted, in order
    """

    def __init__(self, user_id: str, trigger_id: str, started_s: float) -> None:
        self.user_id = user_id
        self.trigger_id = trigger_id
        self.acked = False
        self.ack_payload: Json = {}
        self.ack_s: float | None = None
        self.failed = False
        self.response_url: str | None = None
        self.responses: list[Json] = []
        self._started_s = started_s
        self._settled = asyncio.Event()

    async def acknowledged(self) -> None:
        """Wait until the app has acked, or has failed to in time."""
        await self._settled.wait()

    def take_ack(self, payload: Json, now_s: float) -> None:
        """The app has acked."""
        self.acked, self.ack_payload, self.ack_s = True, payload, now_s - self._started_s
        self._settled.set()

    def fail(self) -> None:
        """The app has not, or not well."""
        self.failed = True
        self._settled.set()


class Submission(Invocation):
    """A dialog that a person has submitted.

    errors  what the app finds wrong, by block_id
    view    what is before the person now, None: nothing
    closed  whether the dialog is gone
    """

    def __init__(self, user_id: str, trigger_id: str, started_s: float, view: View) -> None:
        super().__init__(user_id, trigger_id, started_s)
        self.errors: dict[str, str] = {}
        self.view: View | None = view

    @property
    def closed(self) -> bool:
        """Whether nothing is before the person any more."""
        return self.view is None


@dataclass(slots=True)
class _Trigger:
    user_id: str
    expires_s: float
    from_view: bool
    exchanged: bool = False


class Triggers:
    """Trigger ids: each opens one dialog, within three seconds."""

    def __init__(self, timers: Timers) -> None:
        self._clock = timers.clock
        self._triggers: dict[str, _Trigger] = {}

    def issue(self, user_id: str, *, from_view: bool = False) -> str:
        """A new one for what a person has just done."""
        number = secrets.randbelow(10**12)
        trigger_id = f"{number}.{secrets.randbelow(10**12)}.{secrets.token_hex(16)}"
        expires_s = self._clock() + TRIGGER_LIFE_S
        self._triggers[trigger_id] = _Trigger(user_id, expires_s, from_view)
        return trigger_id

    def exchange(self, trigger_id: str, *, on_view: bool = False) -> str:
        """Use it up; whose it was. Raises ApiError.

        on_view  only one that came of a dialog will do
        """
        trigger = self._triggers.get(trigger_id)
        if trigger is None or (on_view and not trigger.from_view):
            raise ApiError("invalid_trigger_id")
        if trigger.exchanged:
            raise ApiError("exchanged_trigger_id")
        if self._clock() > trigger.expires_s:
            raise ApiError("expired_trigger_id")
        trigger.exchanged = True
        return trigger.user_id


@dataclass(slots=True)
class _Reply:
    """What belongs to one response URL.

    original  the message that was pressed on, None for a command
    """

    invocation: Invocation
    channel: Channel
    original: Message | None
    expires_s: float
    uses: int = 0


class ResponseUrls:
    """Where the app answers what a person did: five times, for half an hour.

    changed  is called after every answer
    """

    def __init__(
        self, world: World, messages: Messages, timers: Timers, changed: Callable[[], None]
    ) -> None:
        self._world = world
        self._changed = changed
        self._messages = messages
        self._clock = timers.clock
        self._replies: dict[str, _Reply] = {}

    def issue(self, invocation: Invocation, channel: Channel, original: Message | None) -> None:
        """Give the invocation its URL."""
        key = secrets.token_hex(16)
        self._replies[key] = _Reply(invocation, channel, original, self._clock() + RESPONSE_LIFE_S)
        invocation.response_url = f"{self._world.base_url}/response/{key}"

    def use(self, key: str, body: Json) -> None:
        """The app sends `body` there; raises ApiError."""
        reply = self._replies.get(key)
        if reply is None:
            raise ApiError("invalid_url")
        if self._clock() > reply.expires_s:
            raise ApiError("expired_url")
        if reply.uses >= RESPONSE_USES:
            raise ApiError("used_url")
        self._act(reply, body)
        reply.uses += 1
        reply.invocation.responses.append(body)
        self._changed()

    def say_with_ack(self, invocation: Invocation, channel: Channel, body: Json) -> None:
        """What a command is acked with is said at once; raises ApiError."""
        if body.get("text") or body.get("blocks") or body.get("attachments"):
            self._act(_Reply(invocation, channel, None, 0.0), body)

    def _act(self, reply: _Reply, body: Json) -> None:
        original = reply.original
        draft = Draft(
            body.get("text"), body.get("blocks"), body.get("attachments"), body.get("metadata")
        )
        if original is not None and (body.get("delete_original") or body.get("replace_original")):
            if self._messages.find(original.channel.id, original.ts) is not original:
                raise ApiError("message_not_found")
            if body.get("delete_original"):
                self._messages.delete(original)
            else:  # all of it: what the answer does not have is gone
                whole = Draft(draft.text or "", draft.blocks or [], draft.attachments or [])
                self._messages.change(original, self._messages.content(whole))
            return
        if body.get("delete_original"):
            raise ApiError("message_not_found")
        # Of a command there is no original: an answer that would replace it is one more, as
        # slackapi/bolt-python#1268 found.
        in_channel = body.get("response_type") == "in_channel"
        thread_ts = body.get("thread_ts")
        self._messages.add(
            reply.channel,
            self._world.bot_user_id,
            self._messages.content(draft),
            thread_ts=thread_ts if isinstance(thread_ts, str) else None,
            viewer_id=None if in_channel else reply.invocation.user_id,
        )
