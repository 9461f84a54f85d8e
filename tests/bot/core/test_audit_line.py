"""What is read of the audit in a chat: words, and what people typed as it was typed."""

from collections.abc import Mapping
from typing import Any

import pytest

from bot.core.audit import FIRST_HASH, Deed, DeedKind, chained
from bot.core.audit_line import Change, audit_line
from bot.core.card import Date, Link
from sdxl_engine.sentence import Sentence

Said = Mapping[str, Any]


def changes(kind: DeedKind, before: Said, after: Said) -> list[Change]:
    deed = Deed(kind, "1", "discord", "2", "3", before=before, after=after)
    return list(audit_line(chained(deed, 1, 0.0, FIRST_HASH), "elsewhere").changes)


def settings(**said: Any) -> dict[str, Any]:
    return {"desk": None, "paused": None, "keep_days": None, **said}


@pytest.mark.parametrize(
    ("kind", "before", "after", "shown"),
    [
        ("rules", {}, {"spoiler": True}, [("spoiler", None, "yes")]),
        ("rules", {"spoiler": True}, {}, [("spoiler", "yes", "taken back")]),
        ("rules", {"loras": ["a", "b"]}, {"loras": []}, [("loras", "a, b", "none")]),
        ("rules", {"daily": 9}, {"daily": 0}, [("daily", "9", "no limit")]),
        ("rules", {}, {"size": [64, 128]}, [("size", None, "64x128")]),
        ("desk", settings(), settings(desk="7"), [("desk", "none", Link("channel", "7"))]),
        (
            "keep",
            settings(),
            settings(keep_days=3),
            [("days", "as the bot's owner has it", "3")],
        ),
        # The reason is read beside it.
        ("pause", settings(), settings(paused="we clean up"), []),
        ("resume", settings(paused="we clean up"), settings(), []),
        ("block", {}, {"until_s": 5.5}, [("until", None, Date(5))]),
        (
            "block",
            {"until_s": 5.5},
            {"until_s": None},
            [("until", Date(5), "somebody unblocks them")],
        ),
        ("unblock", {"until_s": 5.5}, {}, []),
        (
            "blur",
            {"state": "delivered", "blurred": False, "deleted": False},
            {"state": "delivered", "blurred": "held", "deleted": False},
            [("blurred", "no", "by a moderator")],
        ),
        (
            "delete",
            {"state": "review", "blurred": True, "deleted": False},
            {"state": "cancelled", "blurred": True, "deleted": False},
            [],
        ),
        ("approve", {"case": "open"}, {"case": "approved"}, []),
        ("warn", {"warned": 0}, {"warned": 1, "case": "x"}, [("warnings", "0", "1")]),
        ("erase", {}, {"jobs": 4}, [("jobs", None, "4")]),
        (
            "terms",
            {"dropped": ["hen"]},
            {"added": [["troll", "word", "warn", "other"], ["elf", "exception", "block", "x"]]},
            [
                ("to be told to moderators", None, "troll"),
                ("to be let pass", None, "elf"),
                ("taken off the list", None, "hen"),
            ],
        ),
        ("terms", {"dropped": []}, {"added": []}, []),
        # What a later version may have written.
        ("rules", {}, {"more": {"a": 1}}, [("more", None, '{"a": 1}')]),
    ],
)
def test_what_was_changed_is_said_in_words(
    kind: DeedKind, before: Said, after: Said, shown: list[tuple[Any, Any, Any]]
) -> None:
    found = changes(kind, before, after)
    assert [(one.name, one.before, one.after) for one in found] == shown


def test_what_people_typed_is_told_from_our_own_words() -> None:
    added = {"added": [["yes", "word", "block", "other"]]}
    (change,) = changes("terms", {"dropped": []}, added)
    assert isinstance(change.name, Sentence)
    assert not isinstance(change.after, Sentence)
    (change,) = changes("rules", {}, {"spoiler": True})
    assert not isinstance(change.name, Sentence)
    assert isinstance(change.after, Sentence)
