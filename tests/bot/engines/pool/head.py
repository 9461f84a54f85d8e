"""A process that has a cluster of its own, until its standard input ends: `python -m` this.

Each line that it reads is for how many seconds an engine may be silent while it draws; then it
deploys the engines anew, and says where the cluster is when those before are gone.
"""

import sys
import time
from functools import partial
from pathlib import Path

from bot.config.sections import Config, PoolConfig
from bot.engines.pool.cluster import Cluster, PoolStatus, StartPipeline
from bot.engines.pool.kinds import USUAL, kinds_of
from bot.engines.pool.replica import Patience
from tests.bot.engines.pool import pencils

_LOOKS_EVERY_S = 0.1  # at Serve's state, of which nobody is told
_QUICK = {"graceful_shutdown_timeout_s": 1, "health_check_period_s": 0.5}


def is_done(status: PoolStatus, engines: int) -> bool:
    """Whether there are so many, and none besides."""
    return status.status == "RUNNING" and status.kinds[USUAL].replicas == {"RUNNING": engines}


def serve(engines: int, start: StartPipeline) -> None:
    """Have so many whenever a line comes."""
    config = Config(pool=PoolConfig(resources=(("CPU", 0.1),), least=engines, most=engines))
    cluster = Cluster()
    cluster.join()
    try:
        for line in sys.stdin:
            patience = Patience(float(line), 0)
            cluster.deploy(kinds_of(config), lambda _: start, patience, options=_QUICK)
            while not is_done(cluster.status(), engines):
                time.sleep(_LOOKS_EVERY_S)
            sys.stdout.write(f"{cluster.address}\n")
            sys.stdout.flush()
    finally:
        cluster.take_down()
        cluster.leave()


if __name__ == "__main__":
    serve(2, partial(pencils.start, Path(sys.argv[1])))
