"""How a bot calls what runs on Ray Serve."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any, Final, Protocol

from bot.engines.pool.described import APPLICATION
from bot.errors import EngineGoneError

LIMIT_S: Final = 10.0  # for what is answered at once


class Calls(Protocol):
    """Raises EngineGoneError where no answer comes, whatever the reason."""

    def stream(self, deployment: str, method: str, *args: object) -> AsyncGenerator[Any]:
        """What a method yields; to close it ends the call."""

    async def call(self, deployment: str, method: str, *args: object) -> Any:  # noqa: ANN401 - whatever it returns
        """What a method returns."""


class ServeCalls:
    """Implements `Calls` on a cluster that this process is connected with.

    application  of Ray Serve
    """

    def __init__(self, application: str = APPLICATION) -> None:
        self._application = application
        self._handles: dict[str, Any] = {}

    async def stream(self, deployment: str, method: str, *args: object) -> AsyncGenerator[Any]:
        """See `Calls.stream`."""
        response = await self._called(deployment, method, args, stream=True)
        is_over = False
        try:
            async for item in response:
                yield item
            is_over = True
        except Exception as error:
            raise _gone(error) from error
        finally:
            if not is_over:
                response.cancel()  # nothing else ends it: not that nobody listens any more

    async def call(self, deployment: str, method: str, *args: object) -> Any:  # noqa: ANN401 - as there
        """See `Calls.call`."""
        response = await self._called(deployment, method, args, stream=False)
        is_over = False
        try:
            async with asyncio.timeout(LIMIT_S):
                result = await response
            is_over = True
        except Exception as error:
            raise _gone(error) from error
        else:
            return result
        finally:
            if not is_over:
                response.cancel()  # as above

    async def _called(
        self, deployment: str, method: str, args: tuple[object, ...], *, stream: bool
    ) -> Any:  # noqa: ANN401 - Serve's, which may not be here
        from ray import serve  # noqa: PLC0415 - where somebody has a pool

        try:
            if deployment not in self._handles:
                # On a thread: Ray waits there for as long as its head does not answer.
                self._handles[deployment] = await asyncio.to_thread(
                    serve.get_deployment_handle, deployment, self._application
                )
            named = self._handles[deployment].options(method_name=method, stream=stream)
            return named.remote(*args)
        except Exception as error:
            raise _gone(error) from error


def _gone(error: Exception) -> EngineGoneError:
    """What befell a call, which Ray tells in many ways."""
    if isinstance(error, EngineGoneError):  # of the router's, or of the engine's own
        return EngineGoneError(str(error), begun=error.begun)
    from ray.serve.exceptions import BackPressureError  # noqa: PLC0415 - as above

    return EngineGoneError(
        f"An engine, or what gives it turns, did not answer ({type(error).__name__}).",
        begun=not isinstance(error, BackPressureError),
    )
