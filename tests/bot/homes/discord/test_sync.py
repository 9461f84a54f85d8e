"""What Discord was told last: kept, read back, and harmless when it is damaged."""

from pathlib import Path

import pytest

from bot.homes.discord.sync import CommandRecord


def test_what_was_told_is_known_to_the_next_start(tmp_path: Path) -> None:
    path = tmp_path / "data" / "commands.json"
    CommandRecord(path).write("f00", "doodle", [(64, 64), (128, 64)])
    again = CommandRecord(path)
    assert again.fingerprint == "f00"
    assert again.sizes("doodle") == ((64, 64), (128, 64))
    assert again.sizes("another model") == ()


@pytest.mark.parametrize(
    "damage", ["", "{", "[]", "3", '{"model": "doodle"}', '{"model": "doodle", "sizes": [1]}', "\0"]
)
def test_a_damaged_record_knows_nothing(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "commands.json"
    path.write_text(damage)
    record = CommandRecord(path)
    assert record.fingerprint is None
    assert record.sizes("doodle") == ()


def test_without_a_file_it_is_remembered_for_this_start_alone() -> None:
    record = CommandRecord(None)
    record.write("f00", "doodle", [(64, 64)])
    assert record.fingerprint == "f00"
    assert CommandRecord(None).fingerprint is None
