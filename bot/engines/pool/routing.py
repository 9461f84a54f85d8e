"""How a call finds the engine that it is for. Ray Serve imports this, and nobody else."""

import time
from typing import Final

from ray.serve.request_router import PendingRequest, RequestRouter, RunningReplica

from bot.engines.pool.described import kind_and_unique
from bot.errors import EngineGoneError

_APPEARS_WITHIN_S: Final = 10.0  # an engine that draws before Serve has told everybody of it


class EngineRouter(RequestRouter):
    """Sends each call to the engine that its first argument names.

    Without Serve's FIFOMixin what is chosen for a call is given to that very call. A call for an
    engine that is gone ends with EngineGoneError, where Serve would try for ever.
    """

    def initialize_state(self, **_: object) -> None:
        """See `RequestRouter.initialize_state`."""
        self._seen: set[str] = set()

    async def choose_replicas(
        self,
        candidate_replicas: list[RunningReplica],
        pending_request: PendingRequest | None = None,
    ) -> list[list[RunningReplica]]:
        """See `RequestRouter.choose_replicas`."""
        if pending_request is None:
            return [candidate_replicas]
        replicas = {replica.replica_id.unique_id: replica for replica in candidate_replicas}
        self._seen |= replicas.keys()
        _, unique = kind_and_unique(pending_request.args[0])
        if unique in replicas:
            return [[replicas[unique]]]
        waited_s = time.time() - pending_request.created_at
        if unique not in self._seen and waited_s < _APPEARS_WITHIN_S:
            pending_request.routing_context.should_backoff = True
            return []
        if not pending_request.future.done():
            gone = EngineGoneError("The engine is gone.", begun=False)
            pending_request.future.set_exception(gone)
        # Any, and nothing is sent there: Serve looks whether the call waits still after it chose.
        return [candidate_replicas]
