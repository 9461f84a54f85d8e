"""What stands in NAME.toml beside a model: how it wants to be drawn."""

import difflib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final, Self

from sdxl_engine.checkpoint.files import open_file, reason
from sdxl_engine.checkpoint.json_reader import plain
from sdxl_engine.errors import CheckpointError

_MAX_BYTES: Final = 2**20  # what is cut off here is no TOML any more, or comments
_TYPES: Final[Mapping[str, tuple[str, type | tuple[type, ...]]]] = {
    "str": ("a text", str),
    "int": ("a whole number", int),
    "float": ("a number", (int, float)),
    "bool": ("true or false", bool),
    "tuple[str, ...]": ("a list of texts", list),
}


@dataclass(frozen=True, slots=True)
class Card:
    """The keys of NAME.toml; None, or nothing, where one is not set.

    config           a folder of JSON in diffusers' format, beside this file: the model's shapes
    default_sampler  and spacing, steps, guidance, size ("1024x1024"), negative_prompt: what is
                     drawn with where nobody says otherwise
    clip_skip        which states of the text encoders condition the UNet, 2 being SDXL's own
    trigger_words    what a prompt should hold
    licence          a line to show
    prediction_type  as diffusers writes it, such as "v_prediction"
    zero_snr         whether it was trained down to noise alone
    """

    config: str | None = None
    default_sampler: str | None = None
    spacing: str | None = None
    steps: int | None = None
    guidance: float | None = None
    size: str | None = None
    negative_prompt: str | None = None
    clip_skip: int | None = None
    trigger_words: tuple[str, ...] = ()
    licence: str | None = None
    prediction_type: str | None = None
    zero_snr: bool | None = None

    @classmethod
    def beside(cls, model: Path) -> Self:
        """That of a model's file or folder, empty where there is none; raises CheckpointError."""
        path = card_path(model)
        try:
            with open_file(path) as file:
                text = file.read(_MAX_BYTES)
            data = tomllib.loads(text.decode())
        except FileNotFoundError:
            return cls()
        # tomllib gives up at brackets in brackets in brackets in a way of Python's own.
        except (OSError, ValueError, RecursionError) as error:
            raise CheckpointError(f"{path} cannot be read as TOML: {reason(error)}.") from error
        types = {each.name: str(each.type).removesuffix(" | None") for each in fields(cls)}
        return cls(**{key: _checked(path, types, key, value) for key, value in data.items()})

    @classmethod
    def if_any(cls, path: Path) -> Self:
        """The same of a file that is used without one: a TOML of another tool's is none."""
        try:
            return cls.beside(path)
        except CheckpointError:
            return cls()


def card_path(model: Path) -> Path:
    """Where the card of a model's file or folder is, if it has one."""
    whole = model.absolute()
    name = whole.name.removesuffix(".safetensors")
    return whole.parent / f"{name}.toml"


def _checked(path: Path, types: dict[str, str], key: str, value: object) -> Any:  # noqa: ANN401 - as the key's type
    if key not in types:
        near = difflib.get_close_matches(key, types, n=1)
        guess = f"Did you mean {near[0]}?" if near else f"There are: {', '.join(types)}."
        raise CheckpointError(
            f"{path} has a key {plain(key)!r}, which says nothing of how to draw. {guess}"
        )
    wanted, kinds = _TYPES[types[key]]
    fits = isinstance(value, kinds) and (isinstance(value, bool) is (kinds is bool))
    if isinstance(value, list):
        fits = fits and all(isinstance(each, str) for each in value)
        value = tuple(value) if fits else value
    if not fits:
        raise CheckpointError(f"{path}: {key} is {plain(str(value))!r}; it must be {wanted}.")
    return value
