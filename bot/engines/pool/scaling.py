"""How many engines there are to be, by what waits to be drawn; Ray Serve asks.

Serve carries the source of this module into its controller: the standard library is all it knows.
"""

import math
from collections.abc import Mapping
from typing import Any, Protocol

_JOBS_AN_ENGINE = 4  # to make another one ready takes as long as several pictures


class Context(Protocol):
    """Of Ray Serve's `AutoscalingContext` what this needs."""

    @property
    def current_num_replicas(self) -> int: ...  # noqa: D102 - Serve's own word

    @property
    def capacity_adjusted_min_replicas(self) -> int: ...  # noqa: D102 - as above

    @property
    def capacity_adjusted_max_replicas(self) -> int: ...  # noqa: D102 - as above

    @property
    def aggregated_metrics(self) -> Mapping[str, Mapping[Any, float]] | None: ...  # noqa: D102


def engines_wanted(context: Context) -> tuple[int, dict[str, Any]]:
    """How many, and what is to be remembered until the next time: nothing.

    Each engine tells how many jobs wait for its kind, as it heard last, and whether it draws.
    """
    told = context.aggregated_metrics or {}
    waiting = max(told.get("waiting", {}).values(), default=None)
    if waiting is None:  # nobody has told yet: nothing is known against those there are
        wanted = context.current_num_replicas
    else:
        drawing = sum(told.get("drawing", {}).values())
        wanted = math.ceil((waiting + drawing) / _JOBS_AN_ENGINE)
    least, most = context.capacity_adjusted_min_replicas, context.capacity_adjusted_max_replicas
    return min(max(wanted, least), most), {}
