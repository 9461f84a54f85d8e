"""Whatever a call is answered with: pictures, or a sentence, never "thinking" and never twice."""

from pathlib import Path

import pytest

from tests.bot.homes.discord.matrix import ANSWERS, CALLS, row


# One and a half seconds each: 45 answers, some of which never come.
@pytest.mark.parametrize("call", CALLS)
async def test_no_answer_leaves_anybody_thinking(call: str, tmp_path: Path) -> None:
    cells = await row(call, tmp_path)
    assert cells.keys() == ANSWERS.keys()
    assert {answer: cell.problems for answer, cell in cells.items() if cell.problems} == {}
