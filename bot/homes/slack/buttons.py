"""What may be pressed, as ids and values of Slack's buttons, which say everything."""

import re
from dataclasses import dataclass
from typing import Any, Final, Literal, get_args

from bot.core.card import ActionKind, LookKind
from bot.core.case import DeskAct

# Of a message's buttons every id is another's: so it has the picture's number.
ACTION: Final = re.compile(r"v1:([a-z]+)(?::[0-9]+)?")
DESK_ACTION: Final = re.compile(r"desk:([a-z]+)")
PRIVACY_ACTION: Final = re.compile(r"privacy:(erase|keep)")
PressKind = Literal[ActionKind, LookKind]
_CASE: Final = re.compile(r"[a-z2-7]{8}")
# Presses of which a job comes, and a card of its own.
MAKING: Final[frozenset[PressKind]] = frozenset(
    {"reroll", "upscale", "strong", "subtle", "publish"}
)
_VALUE: Final = re.compile(r"([a-z2-7]{8}):([0-9]{0,4})")


@dataclass(frozen=True, slots=True)
class Press:
    """Something that was pressed.

    index  of the picture that is meant, from 0; None: the whole job
    """

    kind: PressKind
    job_id: str
    index: int | None


def action_id(kind: str, index: int | None = None) -> str:
    """The id of a button."""
    return f"v1:{kind}" if index is None else f"v1:{kind}:{index}"


def desk_action(act: DeskAct) -> str:
    """The id of a button of a case."""
    return f"desk:{act}"


def privacy_action(kind: str) -> str:
    """The id of a button that erases what is kept of somebody, or keeps it."""
    return f"privacy:{kind}"


def desk_press_of(action: dict[str, Any]) -> tuple[DeskAct, str] | None:
    """What was pressed at the desk, of which case; None: nothing that this version knows."""
    kind = DESK_ACTION.fullmatch(str(action.get("action_id")))
    case = _CASE.fullmatch(str(action.get("value")))
    if kind is None or case is None:
        return None
    known = next((one for one in get_args(DeskAct) if one == kind[1]), None)
    return None if known is None else (known, case[0])


def press_of(action: dict[str, Any]) -> Press | None:
    """What was pressed; None: nothing that this version knows."""
    kind = ACTION.fullmatch(str(action.get("action_id")))
    value = _VALUE.fullmatch(str(action.get("value")))
    if kind is None or value is None:
        return None
    known = next((one for one in get_args(PressKind) if one == kind[1]), None)
    return None if known is None else Press(known, value[1], int(value[2]) if value[2] else None)
