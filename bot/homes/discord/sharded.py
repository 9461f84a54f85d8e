"""discord.py's client of several shards, mended where one shard would suffer for another."""

import asyncio
import logging
import math
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final

import discord
from discord.gateway import DiscordWebSocket, ReconnectWebSocket
from discord.shard import EventItem, EventType
from discord.shard import Shard as LibraryShard

from bot.core.ports.home import Shard
from bot.homes.discord.calls import DISCORD_ERRORS
from bot.homes.discord.shards import IdentifyPace, ShardWatch, Share, range_of
from bot.shared.retry import Backoff, Sleep, persist

log = logging.getLogger(__name__)

_CONNECTING_S: Final = 60.0
_LAUNCHING: Final = Backoff()


class ShardedClient(discord.AutoShardedClient):
    """Connects the shards that are this bot's, each for itself.

    share  says which they are, or waits until there are some
    watch  is told how they are
    sleep  waits for a shard's turn

    Of discord.py 2.7's own three things are otherwise. It connects one shard after the other before
    it listens to what becomes of any, and tries each for ever, even when it is closed. It mends one
    after the other, so that one which cannot be reached keeps the rest from coming back. And what
    fails to come back at the first try begins another session, and misses what was told meanwhile.
    """

    def __init__(self, share: Share, watch: ShardWatch, *, sleep: Sleep, **options: Any) -> None:  # noqa: ANN401 - as discord.Client's own
        super().__init__(**options)
        self.was_online = False
        self._share = share
        self._watch = watch
        self._sleep = sleep
        self._pace = IdentifyPace(1, sleep=sleep)
        self._under_way: set[asyncio.Task[Any]] = set()

    @property
    def is_online(self) -> bool:
        """Whether all of Discord's events that are this bot's reach it now."""
        return self._watch.all_open

    @property
    def states(self) -> Sequence[Shard]:
        """How each of this bot's shards is."""
        return [self._state(shard_id) for shard_id in self._watch.ids]

    def _state(self, shard_id: int) -> Shard:
        connection = self.get_shard(shard_id)
        latency_s = math.inf if connection is None else connection.latency
        return Shard(
            shard_id,
            self._watch.is_open(shard_id),
            latency_s if math.isfinite(latency_s) else None,
            self._watch.reconnects(shard_id),
        )

    def hears(self, guild_id: int) -> bool:
        """Whether what happens in a server is told to this bot: then it knows those it is in."""
        count = self.shard_count
        return count is not None and (guild_id >> 22) % count in (self.shard_ids or ())

    async def launch_shards(self) -> None:
        """Connect the first; the others come when it is their turn. Told by discord.py.

        Raises what the first one meets.
        """
        claiming = self._beside(self._share.claimed())
        await asyncio.wait([claiming])
        if claiming.cancelled():  # it was closed meanwhile
            return
        wanted = self._share.settings
        recommended, _, limit = await self.http.get_bot_gateway()
        count = wanted.count or recommended
        ids = range_of(claiming.result(), wanted.bots, count)
        if limit["remaining"] < len(ids):  # Discord would take the bot's token away
            wait_s = limit["reset_after"] / 1_000
            log.error(
                "Discord lets the bot begin %d sessions for now, and it needs %d: they begin in "
                "%.0f s.",
                limit["remaining"],
                len(ids),
                wait_s,
            )
            await self._sleep(wait_s)
        self._pace = IdentifyPace(limit["max_concurrency"], sleep=self._sleep)
        self.shard_count = self._connection.shard_count = count
        self.shard_ids = self._connection.shard_ids = list(ids)
        self._watch.begin(ids)
        first, *others = ids
        await self._launch(first)
        for shard_id in others:
            self._beside(self._launch_surely(shard_id))

    async def before_identify_hook(self, shard_id: int | None, *, initial: bool = False) -> None:
        """Told by discord.py, where it is too late to wait: heartbeats go unheard meanwhile."""

    async def on_shard_connect(self, shard_id: int) -> None:
        """Told by discord.py when a session has begun."""
        self.was_online = True
        self._watch.opened(shard_id)
        if self.shard_count == 1:
            log.info("online as %s", self.user)
        else:
            log.info("online as %s, shard %d of %d", self.user, shard_id, self.shard_count)

    async def on_shard_resumed(self, shard_id: int) -> None:
        """Told by discord.py when a broken connection goes on."""
        self._watch.opened(shard_id)

    async def on_shard_disconnect(self, shard_id: int) -> None:
        """Told by discord.py when the connection broke."""
        self._watch.closed(shard_id)

    async def close(self) -> None:
        """Go offline."""
        self._watch.close()
        for task in self._under_way:
            task.cancel()
        await asyncio.gather(*self._under_way, return_exceptions=True)
        await super().close()

    async def _launch(self, shard_id: int) -> None:
        await self._pace.turn(shard_id)
        try:
            async with asyncio.timeout(_CONNECTING_S):
                socket = await DiscordWebSocket.from_client(self, shard_id=shard_id)
        except ReconnectWebSocket as error:
            raise ConnectionError("the gateway sent it away") from error
        # Where its other methods look for them; it has no method that adds one.
        shards = vars(self)["_AutoShardedClient__shards"]
        shard = shards[shard_id] = _Shard(socket, self, self._put, self._pace)
        shard.launch()

    async def _launch_surely(self, shard_id: int) -> None:
        try:
            await persist(
                lambda: self._launch(shard_id),
                f"connecting shard {shard_id}",
                is_passing=_is_outage,
                backoff=_LAUNCHING,
                sleep=self._sleep,
            )
        except Exception as error:  # noqa: BLE001 - `connect` raises it
            self._put(EventItem(EventType.terminate, None, error))

    def _put(self, item: EventItem) -> None:
        vars(self)["_AutoShardedClient__queue"].put_nowait(item)

    def _beside(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = asyncio.create_task(work)
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        return task


class _Shard(LibraryShard):
    """One connection, mended beside the others."""

    def __init__(
        self,
        socket: DiscordWebSocket,
        client: ShardedClient,
        put: Callable[[EventItem], None],
        pace: IdentifyPace,
    ) -> None:
        super().__init__(socket, client, put)
        self._pace = pace
        self._mending: asyncio.Task[None] | None = None

    async def reidentify(self, exc: ReconnectWebSocket) -> None:
        """Begin to come back."""
        self._mending = asyncio.create_task(self._mend(exc))

    async def reconnect(self) -> None:
        """Begin to come back with the session that there was, as discord.py's other client does."""
        await self.reidentify(ReconnectWebSocket(self.id, resume=True))

    async def close(self) -> None:
        """Be closed for good."""
        if self._mending is not None:
            self._mending.cancel()
        await super().close()

    async def _mend(self, why: ReconnectWebSocket) -> None:
        if not why.resume or self.ws.session_id is None:
            why = ReconnectWebSocket(self.id, resume=False)
            self._dispatch("shard_disconnect", self.id)  # not only when its turn has come
            await self._pace.turn(self.id, again=True)
        await super().reidentify(why)


async def server_of(client: discord.Client, community: str | None) -> discord.Guild | None:
    """A server that the bot is in, also one that another bot hears of; None: it is not known."""
    if community is None:
        return None
    guild_id = int(community)
    guild = client.get_guild(guild_id)
    if guild is not None or (isinstance(client, ShardedClient) and client.hears(guild_id)):
        return guild
    try:
        return await client.fetch_guild(guild_id, with_counts=False)
    except DISCORD_ERRORS as error:
        log.info("a server is not known: %r", error)
        return None


def _is_outage(error: Exception) -> bool:
    return isinstance(error, DISCORD_ERRORS) and not isinstance(error, discord.ConnectionClosed)
