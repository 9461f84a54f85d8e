"""Ray Serve without Ray: calls that reach objects of this process, and can be cut off."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from bot.errors import EngineGoneError


class DirectCalls:
    """Implements `Calls`.

    deployments  by name; None: it is gone, and its calls with it
    """

    def __init__(self, **deployments: object) -> None:
        self.deployments: dict[str, object | None] = deployments
        self._changed = asyncio.Event()

    def put(self, name: str, deployment: object | None) -> None:
        """Put another in its place: calls of the one before end at once."""
        self.deployments[name] = deployment
        self._changed.set()
        self._changed = asyncio.Event()

    async def stream(self, deployment: str, method: str, *args: object) -> AsyncGenerator[Any]:
        there = self._find(deployment)
        async with aclosing(getattr(there, method)(*args)) as stream:
            while True:
                item = asyncio.ensure_future(anext(stream, None))
                try:
                    await self._unless_gone(item, deployment, there)
                finally:
                    if not item.done():
                        item.cancel()
                        await asyncio.gather(item, return_exceptions=True)
                if item.result() is None:
                    return
                yield item.result()

    async def call(self, deployment: str, method: str, *args: object) -> Any:
        return await getattr(self._find(deployment), method)(*args)

    def _find(self, deployment: str) -> object:
        there = self.deployments.get(deployment)
        if there is None:
            raise EngineGoneError("It is gone.", begun=False)
        return there

    async def _unless_gone(self, item: "asyncio.Future[Any]", name: str, there: object) -> None:
        while not item.done():
            changed = asyncio.ensure_future(self._changed.wait())
            await asyncio.wait({item, changed}, return_when=asyncio.FIRST_COMPLETED)
            changed.cancel()
            if self.deployments.get(name) is not there:
                raise EngineGoneError("It is gone.")
