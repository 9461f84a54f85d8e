"""The audit's chain: what was changed, left out or put in between is seen."""

from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.core.audit import FIRST_HASH, Deed, Entry, chained, first_broken


def chain(count: int) -> list[Entry]:
    entries: list[Entry] = []
    for number in range(1, count + 1):
        deed = Deed("block", "mia", "village", "v", f"p{number}", "spam", {}, {"until_s": None})
        previous = entries[-1].hash if entries else FIRST_HASH
        entries.append(chained(deed, number, 1e9 + number, previous))
    return entries


def test_what_stands_as_it_was_written_is_right() -> None:
    entries = chain(5)
    assert first_broken(entries) is None
    assert first_broken([]) is None
    assert first_broken(entries[2:], entries[1].hash) is None


@pytest.mark.parametrize("name", [one.name for one in fields(Entry)])
def test_a_change_of_any_field_is_seen(name: str) -> None:
    entries = chain(5)
    was = getattr(entries[2], name)
    other: Any = was + 1 if isinstance(was, int | float) else f"{was}x"
    entries[2] = replace(entries[2], **{name: other})
    assert first_broken(entries) == 3


@given(st.integers(0, 9), st.data())
def test_a_change_of_one_character_is_seen(at: int, data: st.DataObject) -> None:
    entries = chain(10)
    name = data.draw(
        st.sampled_from(["home", "actor", "kind", "target", "reason", "after", "hash"])
    )
    text = getattr(entries[at], name)
    place = data.draw(st.integers(0, len(text) - 1))
    other = data.draw(st.characters().filter(lambda c: c != text[place]))
    entries[at] = replace(entries[at], **{name: text[:place] + other + text[place + 1 :]})
    assert first_broken(entries) == at + 1


@given(st.integers(0, 8))
def test_what_is_left_out_is_seen_but_at_the_end(at: int) -> None:
    entries = chain(10)
    assert first_broken([*entries[:at], *entries[at + 1 :]]) == at + 1
    assert first_broken(entries[:at]) is None  # whoever keeps the last hash sees it


def test_whoever_writes_the_chain_anew_has_another_last_hash() -> None:
    entries = chain(3)
    deed = Deed("block", "zoe", "village", "v", "p1", "spam", {}, {"until_s": None})
    forged = [chained(deed, 1, entries[0].at_s, FIRST_HASH)]
    assert first_broken(forged) is None
    assert forged[0].hash != entries[0].hash
