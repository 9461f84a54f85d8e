"""Views: dialogs in a stack before a person, and the home tab of each."""

import json
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from standins.base.wire import Json
from standins.slack.blocks import VIEW_BLOCKS, with_ids
from standins.slack.errors import ApiError
from standins.slack.schema import Check, Rule, anything, fields, string, truth, typed
from standins.slack.schema import also as both
from standins.slack.world import World

MAX_STACK: Final = 3
MAX_VIEW_BYTES: Final = 250_000


def _label(check: Check, value: object, at: str) -> None:
    rule = fields({"type": anything, "text": string(24)}, {"emoji": truth})
    typed({"plain_text": rule})(check, value, at)


def _submit_with_inputs(check: Check, value: object, at: str) -> None:
    if (
        not isinstance(value, dict)
        or "submit" in value
        or not isinstance(value.get("blocks"), list)
    ):
        return
    if any(isinstance(one, dict) and one.get("type") == "input" for one in value["blocks"]):
        check.add("missing required field: submit", at)


_OFTEN: Final[dict[str, Rule]] = {
    "private_metadata": string(3_000, minimum=0),
    "callback_id": string(255, minimum=0),
    "external_id": string(255, minimum=0),
}
_RULES: Final[dict[str, Rule]] = {
    "modal": both(
        fields(
            {"type": anything, "title": _label, "blocks": VIEW_BLOCKS},
            {
                **_OFTEN,
                "submit": _label,
                "close": _label,
                "clear_on_close": truth,
                "notify_on_close": truth,
                "submit_disabled": truth,
            },
        ),
        _submit_with_inputs,
    ),
    "home": fields({"type": anything, "blocks": VIEW_BLOCKS}, _OFTEN),
}


def _new_hash() -> str:
    return f"{secrets.randbelow(10**10)}.{secrets.token_hex(4)}"


@dataclass(slots=True, eq=False)
class View:
    """One dialog or home tab as a person sees it.

    definition    as the bot gave it, with the ids that Slack adds
    is_open       whether it is still before the person
    root_id       the first of the stack it is in
    """

    id: str
    user_id: str
    definition: Json
    root_id: str
    previous_id: str | None = None
    hash: str = field(default_factory=_new_hash)
    is_open: bool = True

    @property
    def blocks(self) -> list[Json]:
        """What it shows."""
        blocks: list[Json] = self.definition["blocks"]
        return blocks

    @property
    def callback_id(self) -> str:
        """By what the bot knows it."""
        return str(self.definition.get("callback_id", ""))

    @property
    def private_metadata(self) -> str:
        """What the bot has noted on it; the person does not see it."""
        return str(self.definition.get("private_metadata", ""))

    @property
    def title(self) -> str:
        """Its title; of a home tab none."""
        return str(self.definition.get("title", {}).get("text", ""))

    def json(self, world: World, state: Json | None = None) -> Json:
        """The view object."""
        known = self.definition
        told: Json = {
            "id": self.id,
            "team_id": world.team_id,
            "type": known["type"],
            "blocks": known["blocks"],
            "private_metadata": self.private_metadata,
            "callback_id": self.callback_id,
            "external_id": known.get("external_id", ""),
            "state": {"values": state or {}},
            "hash": self.hash,
            "clear_on_close": known.get("clear_on_close", False),
            "notify_on_close": known.get("notify_on_close", False),
            "root_view_id": self.root_id,
            "previous_view_id": self.previous_id,
            "app_id": world.app_id,
            "bot_id": world.bot_id,
        }
        if world.organisation is not None:
            told["app_installed_team_id"] = world.organisation
        for name in ("title", "submit", "close"):
            told[name] = known.get(name)
        return told


class Views:
    """What the app shows each person.

    changed    is called after every change
    find_file  whether a block may show a file
    """

    def __init__(
        self, world: World, find_file: Callable[[Json], bool], changed: Callable[[], None]
    ) -> None:
        self._world = world
        self._find_file = find_file
        self._changed = changed
        self._stacks: dict[str, list[View]] = {}
        self._homes: dict[str, View] = {}

    def top(self, user_id: str) -> View | None:
        """The dialog before a person."""
        stack = self._stacks.get(user_id)
        return stack[-1] if stack else None

    def home(self, user_id: str) -> View | None:
        """A person's home tab, None before it was published."""
        return self._homes.get(user_id)

    def check(self, view: object, *, kind: str) -> Json:
        """The definition, held to Slack's rules; raises ApiError."""
        if not isinstance(view, dict):
            raise ApiError("invalid_arguments", ["must provide an object [json-pointer:/view]"])
        if len(json.dumps(view).encode()) > MAX_VIEW_BYTES:
            raise ApiError("view_too_large")
        check = Check(self._find_file)
        typed({kind: _RULES[kind]})(check, view, "/view")
        if check.messages:
            first = "failed to match all allowed schemas [json-pointer:/view]"
            raise ApiError("invalid_arguments", [first, *check.messages])
        return {**view, "blocks": with_ids(view["blocks"])}

    def open(self, user_id: str, definition: Json) -> View:
        """Show a dialog in place of whatever is before the person; raises ApiError."""
        self._check_external_id(definition, None)
        for view in self._stacks.pop(user_id, []):
            view.is_open = False
        return self._put(user_id, definition)

    def push(self, user_id: str, definition: Json) -> View:
        """Show a dialog on top of what is before the person; raises ApiError."""
        if not self._stacks.get(user_id):
            raise ApiError("not_found")
        if len(self._stacks[user_id]) >= MAX_STACK:
            raise ApiError("push_limit_reached")
        self._check_external_id(definition, None)
        return self._put(user_id, definition)

    def _put(self, user_id: str, definition: Json) -> View:
        stack = self._stacks.setdefault(user_id, [])
        view_id = self._world.new_id("V")
        previous = stack[-1] if stack else None
        root_id = view_id if previous is None else previous.root_id
        view = View(view_id, user_id, definition, root_id, previous.id if previous else None)
        stack.append(view)
        self._changed()
        return view

    def find(self, view_id: str | None, external_id: str | None) -> View:
        """A dialog that is before somebody; raises ApiError."""
        for view in self._every():
            known = view.definition.get("external_id")
            if view.id == view_id or (external_id and known == external_id):
                return view
        raise ApiError("not_found")

    def update(self, view: View, definition: Json, view_hash: str | None) -> None:
        """Show something else in its place; raises ApiError."""
        if view_hash is not None and view_hash != view.hash:
            raise ApiError("hash_conflict")
        self._check_external_id(definition, view)
        view.definition, view.hash = definition, _new_hash()
        self._changed()

    def publish(self, user_id: str, definition: Json, view_hash: str | None) -> View:
        """Show a person's home tab; raises ApiError."""
        view = self._homes.get(user_id)
        if view is not None:
            self.update(view, definition, view_hash)
            return view
        if view_hash is not None:
            raise ApiError("hash_conflict")
        self._check_external_id(definition, None)
        view_id = self._world.new_id("V")
        view = self._homes[user_id] = View(view_id, user_id, definition, view_id)
        self._changed()
        return view

    def close(self, view: View, *, all_of_them: bool = False) -> list[View]:
        """Take a dialog from before the person, or all; those that were taken, the top first."""
        stack = self._stacks.get(view.user_id, [])
        taken: list[View] = []
        while stack and (all_of_them or view in stack):
            taken.append(stack.pop())
            taken[-1].is_open = False
        self._changed()
        return taken

    def _every(self) -> list[View]:
        dialogs = [view for stack in self._stacks.values() for view in stack]
        return [*dialogs, *self._homes.values()]

    def _check_external_id(self, definition: Json, own: View | None) -> None:
        wanted = definition.get("external_id")
        others = (view.definition.get("external_id") for view in self._every() if view is not own)
        if wanted and wanted in others:
            raise ApiError("duplicate_external_id")
