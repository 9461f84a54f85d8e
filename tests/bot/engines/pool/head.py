"""A process that has a cluster of its own, until its standard input ends: `python -m` this.

Each line that it reads is for how many seconds an engine may be silent while it draws; then it
deploys two engines, and says where the cluster is.
"""

import sys
from functools import partial
from pathlib import Path

from bot.config.sections import Config, PoolConfig
from bot.engines.pool.cluster import Cluster
from bot.engines.pool.kinds import kinds_of
from bot.engines.pool.replica import Patience
from tests.bot.engines.pool import pencils

TWO = Config(pool=PoolConfig(resources=(("CPU", 0.1),), least=2, most=2))
QUICK = {"graceful_shutdown_timeout_s": 1, "health_check_period_s": 0.5}


def main(folder: Path) -> None:
    cluster = Cluster()
    cluster.join()
    try:
        for line in sys.stdin:
            cluster.deploy(
                kinds_of(TWO),
                lambda _: partial(pencils.start, folder),
                Patience(float(line), 0),
                options=QUICK,
            )
            sys.stdout.write(f"{cluster.address}\n")
            sys.stdout.flush()
    finally:
        cluster.take_down()
        cluster.leave()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
