"""What happens in the channels, as the people in them see it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Literal

from standins.base.wire import Json

EventKind = Literal[
    "message_create",
    "message_update",
    "message_delete",
    "interaction_create",
    "interaction_failed",
    "dialog",
    "typing",
    "channels_change",
]


@dataclass(frozen=True, slots=True)
class ChannelEvent:
    """One thing that happened in a channel.

    message     the message as its viewers see it; of a deleted one only the ids; of an interaction
                (`interaction_create`, `interaction_failed`) its id, state, user, command and,
                for a press, the message pressed on; of a dialog its form
                (`channels_change`: there are other channels now, or who sees them has changed)
    viewer_id   the only person who sees it (an ephemeral message, one's own command), None: all
    """

    kind: EventKind
    channel_id: int
    message: Json = field(default_factory=dict)
    viewer_id: int | None = None

    @property
    def ephemeral(self) -> bool:
        """Whether one person alone sees it."""
        return self.viewer_id is not None

    def seen_by(self, user_id: int) -> bool:
        """Whether this person sees it."""
        return self.viewer_id in {None, user_id}


Predicate = Callable[[ChannelEvent], bool]


class EventHub:
    """Hands every event to every subscriber and wakes those who wait for one."""

    def __init__(self) -> None:
        self._queues: set[asyncio.Queue[ChannelEvent]] = set()
        self._waiters: list[tuple[Predicate, asyncio.Future[ChannelEvent]]] = []

    def publish(self, event: ChannelEvent) -> None:
        """Tell everybody; never waits."""
        for queue in self._queues:
            queue.put_nowait(event)
        for predicate, future in self._waiters:
            if not future.done() and predicate(event):
                future.set_result(event)

    @asynccontextmanager
    async def subscribe(self) -> AsyncIterator[asyncio.Queue[ChannelEvent]]:
        """A queue of everything that happens from now on."""
        queue: asyncio.Queue[ChannelEvent] = asyncio.Queue()
        self._queues.add(queue)
        try:
            yield queue
        finally:
            self._queues.discard(queue)

    async def wait_for(self, predicate: Predicate) -> ChannelEvent:
        """The first event from now on that satisfies `predicate`."""
        future: asyncio.Future[ChannelEvent] = asyncio.get_running_loop().create_future()
        waiter = (predicate, future)
        self._waiters.append(waiter)
        try:
            return await future
        finally:
            self._waiters.remove(waiter)
