"""What a person puts into a dialog, held to what Discord's own client lets them submit."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final, NoReturn

from standins.base.wire import Json
from standins.discord.components import (
    ACTION_ROW,
    CHANNEL_SELECT,
    MENTIONABLE_SELECT,
    ROLE_SELECT,
    SELECTS,
    STRING_SELECT,
    USER_SELECT,
)
from standins.discord.dialogs import (
    CHECKBOX,
    CHECKBOX_GROUP,
    FILE_KINDS,
    FILE_UPLOAD,
    LABEL,
    MAX_INPUT_CHARS,
    RADIO_GROUP,
    TEXT_INPUT,
    fields_in,
)
from standins.discord.errors import CommandRefused
from standins.discord.forms import Upload
from standins.discord.resolved import Resolved

BYTES_A_MIB: Final = 2**20


def fill_dialog(
    parts: Sequence[Json],
    values: Mapping[str, object],
    resolved: Resolved,
    file_limit_bytes: int,
) -> list[Json]:
    """The components of a dialog as they are submitted; raises CommandRefused.

    values  by custom_id: a text, the value of a radio, the truth of a checkbox, and of everything
            else a list of values, ids, or Uploads. What is not named stays as the bot filled it in
    """
    known = {field["custom_id"] for part in parts for field in fields_in(part)}
    if unknown := values.keys() - known:
        raise CommandRefused(f"The dialog has no field {min(unknown)!r}.")
    return [_Part(part, values, resolved, file_limit_bytes).submitted() for part in parts]


class _Part:
    """One part of a dialog while it is filled in."""

    def __init__(
        self, part: Json, values: Mapping[str, object], resolved: Resolved, file_limit_bytes: int
    ) -> None:
        self._part = part
        self._values = values
        self._resolved = resolved
        self._file_limit_bytes = file_limit_bytes

    def submitted(self) -> Json:
        shown = {"type": self._part["type"], "id": self._part["id"]}
        fields = [self._field(field) for field in fields_in(self._part)]
        if self._part["type"] == LABEL:
            return {**shown, "component": fields[0]}
        return {**shown, "components": fields} if self._part["type"] == ACTION_ROW else shown

    def _field(self, field: Json) -> Json:
        kind, custom_id = field["type"], field["custom_id"]
        shown = {"type": kind, "id": field["id"], "custom_id": custom_id}
        given = self._values.get(custom_id)
        if kind == TEXT_INPUT:
            return {
                **shown,
                "value": self._text(field, field.get("value", "") if given is None else given),
            }
        if kind == CHECKBOX:
            return {
                **shown,
                "value": self._truth(field.get("default", False) if given is None else given),
            }
        if kind == RADIO_GROUP:
            chosen = _preset(field) if given is None else [given]
            return {**shown, "value": next(iter(self._chosen(field, chosen)), None)}
        if given is None:
            given = _preset(field)
        if isinstance(given, str) or not isinstance(given, Sequence):
            self._refuse("give a list")
        return {**shown, "values": self._chosen(field, given)}

    def _text(self, field: Json, value: object) -> str:
        if not isinstance(value, str):
            self._refuse("enter text")
        if not value.strip() and field.get("required", True):
            self._refuse("this field is required")
        low, high = field.get("min_length", 0), field.get("max_length", MAX_INPUT_CHARS)
        if value and not low <= len(value) <= high:
            self._refuse(f"enter {low} to {high} characters, not {len(value)}")
        return value

    def _truth(self, value: object) -> bool:
        if not isinstance(value, bool):
            self._refuse("tick it or do not")
        return value

    def _chosen(self, field: Json, values: Sequence[object]) -> list[str]:
        low, high = how_many(field)
        if not values and field.get("required", True):
            self._refuse("this field is required")
        if values and not low <= len(values) <= high:
            self._refuse(f"choose {low} to {high}, not {len(values)}")
        if field["type"] == FILE_UPLOAD:
            return [self._file(field, value) for value in values]
        chosen = [choose(field, value, self._resolved) for value in values]
        if len(set(chosen)) < len(chosen):
            self._refuse("choose each once")
        return chosen

    def _file(self, field: Json, value: object) -> str:
        if not isinstance(value, Upload):
            self._refuse("choose a file")
        if len(value.data) > self._file_limit_bytes:
            limit_mib = self._file_limit_bytes // BYTES_A_MIB
            self._refuse(f"{value.filename} is larger than {limit_mib} MiB")
        kinds = field.get("file_types") or []
        if kinds and not any(_is_of(value, kind) for kind in kinds):
            self._refuse(f"{value.filename} is none of {', '.join(kinds)}")
        return self._resolved.attachment(value)

    def _refuse(self, why: str) -> NoReturn:
        """Refuse what stands in this part, which is called as its person sees it."""
        name = self._part.get("label") or fields_in(self._part)[0]["label"]
        raise CommandRefused(f"{name}: {why}.")


def how_many(field: Json) -> tuple[int, int]:
    """How few and how many may be chosen of a menu, of a group, or as files, if any are."""
    kind = field["type"]
    most = len(field["options"]) if kind == CHECKBOX_GROUP else 1
    return field.get("min_values", 1), field.get("max_values", most)


def choose(item: Json, value: object, resolved: Resolved) -> str:
    """One value of a menu or a group; raises CommandRefused if it is not on the list."""
    found = None
    if item["type"] == CHANNEL_SELECT:
        found = resolved.channel(value, item.get("channel_types") or ())
    elif item["type"] in SELECTS and item["type"] != STRING_SELECT:
        found = _FINDERS[item["type"]](resolved, value)
    elif value in [option["value"] for option in item["options"]]:
        found = str(value)
    if found is None:
        raise CommandRefused("That choice is not on the list.")
    return found


_FINDERS: Final[Mapping[int, Callable[[Resolved, object], str | None]]] = {
    USER_SELECT: Resolved.user,
    ROLE_SELECT: Resolved.role,
    MENTIONABLE_SELECT: Resolved.mentionable,
}


def _preset(field: Json) -> list[str]:
    """What the bot has chosen beforehand."""
    if "options" in field:
        return [option["value"] for option in field["options"] if option.get("default")]
    return [entry["id"] for entry in field.get("default_values", [])]


def _is_of(upload: Upload, kind: str) -> bool:
    if kind in FILE_KINDS:
        return upload.content_type.startswith(f"{kind}/")
    return upload.filename.lower().endswith(kind.lower())
