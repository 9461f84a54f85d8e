"""How Slack checks a structure: rules for each field, and every breach told in Slack's words.

A rule looks at a value and notes what is wrong with it, with the JSON pointer to it.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from standins.base.wire import Json


@dataclass(slots=True)
class Check:
    """What is found while a structure is looked at.

    find_file    whether a file may be shown by a block, asked with its {"id"} or {"url"}
    unsupported  types that this workspace does not have
    """

    find_file: Callable[[Json], bool] = lambda _: False
    unsupported: Collection[str] = ()
    messages: list[str] = field(default_factory=list)
    block_ids: set[str] = field(default_factory=set)

    def add(self, message: str, pointer: str) -> None:
        """Note one breach."""
        self.messages.append(f"{message} [json-pointer:{pointer}]")


Rule = Callable[[Check, object, str], None]


def string(maximum: int, *, minimum: int = 1) -> Rule:
    """A text within its lengths in characters."""

    def rule(check: Check, value: object, at: str) -> None:
        if not isinstance(value, str):
            check.add("must provide a string", at)
        elif len(value) > maximum:
            check.add(f"must be less than {maximum + 1} characters", at)
        elif len(value) < minimum:
            check.add(f"must be more than {minimum - 1} characters", at)

    return rule


def truth(check: Check, value: object, at: str) -> None:
    """True or false."""
    if not isinstance(value, bool):
        check.add("must provide a boolean", at)


def whole(low: int, high: int) -> Rule:
    """A whole number from `low` to `high`."""

    def rule(check: Check, value: object, at: str) -> None:
        if isinstance(value, bool) or not isinstance(value, int):
            check.add("must provide an integer", at)
        elif not low <= value <= high:
            check.add(f"must be between {low} and {high}", at)

    return rule


def one_of(*choices: str) -> Rule:
    """One of these texts."""

    def rule(check: Check, value: object, at: str) -> None:
        if value not in choices:
            check.add(f"value must be one of: {', '.join(choices)}", at)

    return rule


def anything(check: Check, value: object, at: str) -> None:
    """Whatever it is."""


def items(rule: Rule, maximum: int, *, minimum: int = 1) -> Rule:
    """A list, each entry held to `rule`."""

    def listed(check: Check, value: object, at: str) -> None:
        if not isinstance(value, list):
            check.add("must provide an array", at)
            return
        if len(value) > maximum:
            check.add(f"no more than {maximum} items allowed", at)
        elif len(value) < minimum:
            check.add(f"no fewer than {minimum} items allowed", at)
        for place, item in enumerate(value):
            rule(check, item, f"{at}/{place}")

    return listed


def fields(required: Mapping[str, Rule], optional: Mapping[str, Rule]) -> Rule:
    """An object with these fields and no others."""
    known = {**required, **optional}

    def rule(check: Check, value: object, at: str) -> None:
        if not isinstance(value, dict):
            check.add("must provide an object", at)
            return
        for name in required:
            if name not in value:
                check.add(f"missing required field: {name}", at)
        for name, one in value.items():
            if name in known:
                known[name](check, one, f"{at}/{name}")
            else:
                check.add(f"invalid additional property: {name}", at)

    return rule


def typed(rules: Mapping[str, Rule]) -> Rule:
    """An object whose `type` says which of the rules it is held to."""

    def rule(check: Check, value: object, at: str) -> None:
        if not isinstance(value, dict):
            check.add("must provide an object", at)
            return
        kind: Any = value.get("type")
        if not isinstance(kind, str):
            check.add("missing required field: type", at)
        elif kind not in rules or kind in check.unsupported:
            check.add(f"unsupported type: {kind}", f"{at}/type")
        else:
            rules[kind](check, value, at)

    return rule


def also(first: Rule, then: Rule) -> Rule:
    """Both."""

    def rule(check: Check, value: object, at: str) -> None:
        first(check, value, at)
        then(check, value, at)

    return rule
