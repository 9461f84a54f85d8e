"""Whatever dies in between: who saw a place in the queue sees pictures or a reason, once; and what
a moderator was told is done stays done.
"""

import random
from pathlib import Path

import pytest

from tests.bot.killing.rounds import PRESSES_IN_PEACE, kill_rounds


@pytest.mark.timeout(300)
async def test_sixteen_kills_break_no_promise(tmp_path: Path) -> None:
    seed = random.randrange(2**32)
    tally = await kill_rounds(16, tmp_path, seed, over_http=seed % 2 == 1)
    what = f"seed {seed}: {tally}"
    assert tally.accepted >= 20, what
    # How many die between being heard and being taken in says how fast the machine is. Of what is
    # asked for in peace at the end, none does.
    assert tally.last.total() > 0, what
    assert tally.last.keys() <= {"pictures", "held"}, what
    assert tally.pictures > 0, what
    assert tally.pressed >= 30, what
    assert tally.made > 0, what
    assert tally.twins > 0, what
    assert tally.late < PRESSES_IN_PEACE, what  # most of them, on a machine that is not overloaded
    assert tally.order.cases > 0, what
    assert tally.order.acts.total() >= 10, what
    assert tally.broken == [], what
    assert tally.redrawn == 0, what
