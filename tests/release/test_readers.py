"""What another tool reads in our pictures; tests/release/readers.py asks more of them."""

from collections.abc import Callable
from pathlib import Path

import pytest

from sdxl_engine import images
from tests.release.readers import misread, sd_parsers


def test_sd_parsers_reads_prompts_and_seeds(tmp_path: Path) -> None:
    assert list(misread(sd_parsers, tmp_path)) == []


def test_a_prompt_that_is_taken_for_settings_would_be_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    as_it_stands: Callable[[str], str] = " ".join
    monkeypatch.setattr(images, "_one_line", lambda text: as_it_stands(text.split()))
    assert list(misread(sd_parsers, tmp_path))
