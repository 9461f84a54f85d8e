"""Four pictures, as an engine gives them."""

from sdxl_engine import Images
from tests.bot.core.jobs import make_job
from tests.fakes import FakePipeline

REQUEST = make_job().wish.resolve((64, 64))


def drawn() -> Images:
    """The same ones each time."""
    *_, last = FakePipeline().generate(REQUEST)
    assert last.fetch is not None
    return last.fetch()
