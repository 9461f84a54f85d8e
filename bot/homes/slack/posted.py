"""By what a message of the bot's own is known again: metadata, which nobody else can give it."""

from collections.abc import Mapping
from typing import Any, Literal

Kind = Literal["job", "case", "notice"]


def metadata(kind: Kind, about: str | int) -> dict[str, Any]:
    """What goes with a message about one of these; `about` is its id."""
    return {"event_type": f"imagine_{kind}", "event_payload": {kind: about}}


def about(message: Mapping[str, Any], kind: Kind) -> object:
    """The id of the one of these that a message is about; None: it is about none."""
    found = message.get("metadata") or {}
    if found.get("event_type") != f"imagine_{kind}":
        return None
    return (found.get("event_payload") or {}).get(kind)
