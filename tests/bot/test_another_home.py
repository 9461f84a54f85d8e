"""The core, the ledger, the gallery and the engine serve a home that no chat system is part of."""

import re
import subprocess
import sys
from pathlib import Path

# A None in sys.modules makes every import of that name fail.
WITHOUT_CHAT = """
import runpy, sys
for name in ("discord", "asyncio_throttle", "jax", "flax"):
    sys.modules[name] = None
runpy.run_module("tests.bot.village", run_name="__main__")
"""


def test_from_a_wish_to_pictures_without_any_chat_system(tmp_path: Path) -> None:
    result = subprocess.run(  # noqa: S603 - our own text
        [sys.executable, "-c", WITHOUT_CHAT, str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    lines = result.stdout.splitlines()
    assert lines[0].startswith("⏳")
    assert "step 1 of 2 | " in lines
    assert re.fullmatch(r" \| (?:[a-z2-7]{8}_[0-3]\.png ?){4}", lines[-1])


def test_a_home_takes_little_more_than_a_hundred_lines() -> None:
    assert len((Path(__file__).parent / "village.py").read_text().splitlines()) < 115
