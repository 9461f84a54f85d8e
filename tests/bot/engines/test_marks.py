"""From the configuration to the marks."""

from dataclasses import replace
from pathlib import Path

import pytest

from bot.config.sections import MarksConfig
from bot.engines.marks import marks_of
from bot.errors import ConfigError
from sdxl_engine.errors import CredentialsError
from sdxl_engine.marks.marks import NO_MARKS
from tests.sdxl_engine.marks.authority import DAY, elliptic, write_chain, write_key


def test_as_it_comes_pictures_bear_what_needs_no_certificate() -> None:
    marks = marks_of(MarksConfig())
    assert marks.xmp
    assert marks.watermark is not None
    assert marks.credentials is None


def test_each_can_be_switched_off() -> None:
    assert marks_of(MarksConfig(xmp=False, watermark=False)) == NO_MARKS


def test_a_certificate_signs(tmp_path: Path) -> None:
    key = elliptic()
    files = write_chain(tmp_path / "chain", key), write_key(tmp_path / "key", key)
    config = MarksConfig(certificate=files[0], private_key=files[1])
    marks = marks_of(config)
    assert marks.credentials is not None
    assert "A studio" in marks.credentials.name
    with pytest.raises(ConfigError, match="belong together"):
        marks_of(replace(config, private_key=None))
    with pytest.raises(CredentialsError, match="expired on"):
        marks_of(replace(config, certificate=write_chain(files[0], key, ends=-DAY / 2)))
