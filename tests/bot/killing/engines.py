"""The engines of bots that are killed: `python -m tests.bot.killing.engines N`."""

import sys

from tests.bot.engines.pool.head import serve
from tests.bot.killing.bot import SteadyPipeline

if __name__ == "__main__":
    serve(int(sys.argv[1]), SteadyPipeline)
