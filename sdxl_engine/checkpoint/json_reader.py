"""Typed access to a checkpoint's JSON, with errors that name the file and the key."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from sdxl_engine.checkpoint.files import read_file, reason
from sdxl_engine.errors import CheckpointError

Json = Mapping[str, Any]  # what json.loads gives: the values are checked one by one below

# Numbers beyond these are no model's; with them some sum overflows or divides by nothing.
_LARGEST: Final = 1_000_000
_SMALLEST: Final = 1e-12
# What a network may be at most, found before any of it is built: SDXL's UNet has three levels, 87
# layers (resnets and transformer blocks) and 2.6 billion weights, its autoencoder four levels.
_MAX_LEVELS: Final = 8
_MAX_LAYERS: Final = 500
_MAX_WEIGHTS: Final = 10**10
_MAX_SHOWN: Final = 500  # letters of a value in an error
# Of any JSON. Far beyond these Python gives up as well, in its own words.
_MAX_DIGITS: Final = 1000
_MAX_DEPTH: Final = 50
_TOO_DEEP: Final = "it is nested too deeply"


def read_json(folder: Path, name: str) -> Json:
    """One JSON object of a model folder; raises CheckpointError."""
    path = folder / name
    try:
        return parse_json(read_file(folder, path))
    except FileNotFoundError:
        raise CheckpointError(
            f"{name} is missing in {folder}. Fetch the model again, or point to a folder in "
            "diffusers format."
        ) from None
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} cannot be read as JSON: {reason(error)}.") from error


def parse_json(text: bytes) -> dict[str, Any]:
    """One JSON object in UTF-8; raises ValueError for anything else or a key that is set twice.

    And for what no model's has: numbers of pages, or brackets in brackets in brackets.
    """
    try:
        data = json.loads(text.decode(), object_pairs_hook=_unique, parse_int=_whole_number)
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None
    if not isinstance(data, dict):
        raise ValueError("it is not a JSON object")  # noqa: TRY004 - what a damaged file raises
    within: list[Any] = [data]
    for _ in range(_MAX_DEPTH):
        within = [
            value
            for outer in within
            if isinstance(outer, dict | list)
            for value in (outer.values() if isinstance(outer, dict) else outer)
        ]
    if within:
        raise ValueError(_TOO_DEEP)
    return data


def shown(value: object) -> str:
    """A value of a checkpoint's JSON as an error shows it."""
    try:
        return plain(json.dumps(value), most=_MAX_SHOWN)
    except (RecursionError, ValueError):  # from elsewhere than `parse_json`
        return "beyond writing"


def plain(text: str, *, most: int = 200) -> str:
    """What a model's files say, as an error shows it: on one line, printable, and not for pages."""
    line = " ".join(text[: most + 1].split())
    line = "".join(
        letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in line
    )
    return line if len(text) <= most else f"{line[:most]}…"


def _whole_number(text: str) -> int:
    if len(text) > _MAX_DIGITS:
        raise ValueError(f"it holds a number of {len(text):,} digits")
    return int(text)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    data = dict(pairs)
    if len(data) != len(pairs):
        raise ValueError("a key is set twice")
    return data


class JsonReader:
    """Typed access to one JSON object, with errors that name the file and the key."""

    def __init__(self, source: str, data: Json) -> None:
        self._source = source
        self._data = data

    def error(self, key: str, wanted: str) -> CheckpointError:
        """What is wrong with a key, as an error to raise."""
        value = shown(self._data[key]) if key in self._data else "missing"
        return CheckpointError(
            f"{self._source}: {key} is {value}; this engine draws only models where it is {wanted}."
        )

    def only(self, **supported: object) -> None:
        """Refuse any key whose value is not the one (or among the tuple of those) written here."""
        for key, value in supported.items():
            allowed = value if isinstance(value, tuple) else (value,)
            if key in self._data and self._data[key] not in allowed:
                raise self.error(key, json.dumps(allowed[-1]))

    def one_of(self, key: str, *allowed: Any, default: object = None) -> Any:  # noqa: ANN401 - returns one of `allowed`
        """A value that must be one of these; raises CheckpointError."""
        value = self._data.get(key, default)
        if value not in allowed:
            raise self.error(key, " or ".join(json.dumps(choice) for choice in allowed))
        return value

    def whole(
        self, key: str, default: int | None = None, *, least: int = 1, most: int = _LARGEST
    ) -> int:
        """A whole number of `least` to `most`; raises CheckpointError.

        A list of equal ones is that number: PyTorch's models say some of theirs level by level.
        """
        value = self._data.get(key, default)
        if isinstance(value, list) and value and value == value[:1] * len(value):
            value = value[0]
        if not _is_whole(value, least, most):
            raise self.error(key, f"a whole number from {least} to {most:,}")
        return int(value)

    def real(self, key: str, default: float | None = None) -> float:
        """A finite number; raises CheckpointError."""
        value = self._data.get(key, default)
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or not _SMALLEST <= value <= _LARGEST:
            raise self.error(key, f"a number from {_SMALLEST:g} to {_LARGEST:,}")
        return float(value)

    def reals(self, key: str, length: int) -> tuple[float, ...] | None:
        """A list of finite numbers, None where it is null or missing; raises CheckpointError."""
        value = self._data.get(key)
        if value is None:
            return None
        if (
            not isinstance(value, list)
            or len(value) != length
            or not all(type(each) in (int, float) and abs(each) <= _LARGEST for each in value)
        ):
            raise self.error(key, f"a list of {length} numbers from -{_LARGEST:,} to {_LARGEST:,}")
        return tuple(float(each) for each in value)

    def flag(self, key: str, *, default: bool | None = None) -> bool:
        """True or false; raises CheckpointError."""
        value = self._data.get(key, default)
        if not isinstance(value, bool):
            raise self.error(key, "true or false")
        return value

    def at_most(self, key: str, most: float) -> None:
        """Raise CheckpointError where a key is set to anything but a number up to `most`."""
        value = self._data.get(key, most)
        if not isinstance(value, int | float) or not value <= most:
            raise self.error(key, f"a number up to {most:.2f}")

    def indices(self, key: str) -> tuple[int, ...]:
        """A list of whole numbers from 0 on, which may be empty; raises CheckpointError."""
        value = self._data.get(key)
        if not isinstance(value, list) or not all(_is_whole(each, 0, _LARGEST) for each in value):
            raise self.error(key, "a list of whole numbers")
        return tuple(value)

    def wholes(
        self, key: str, length: int | None = None, *, most: int = _LARGEST
    ) -> tuple[int, ...]:
        """A list of whole numbers of 1 to `most`; one number stands for `length` equal ones.

        Without a length it is that of levels, each of which halves the picture's sides.
        """
        value: Any = self._data.get(key)
        if length is not None and _is_whole(value, 1, most):
            value = [value] * length
        lengths = range(1, _MAX_LEVELS + 1) if length is None else (length,)
        ok = isinstance(value, list) and len(value) in lengths
        if not ok or not all(_is_whole(each, 1, most) for each in value):
            count = length or f"1 to {_MAX_LEVELS}"
            raise self.error(key, f"a list of {count} whole numbers from 1 to {most:,}")
        return tuple(value)

    def nested(
        self, key: str, counts: Sequence[int], *, default: int, most: int
    ) -> tuple[tuple[int, ...], ...]:
        """For each of `counts` that many whole numbers of 1 to `most`; raises CheckpointError.

        One number stands for equal ones, of all or in its place of the list. A list within the list
        may be longer, and what stands where none are wanted plays no part: so PyTorch reads it.
        """
        value = self._data.get(key, default)
        entries = value if isinstance(value, list) else [value] * len(counts)
        found = tuple(
            tuple(entry[:count] if isinstance(entry, list) else [entry] * count)
            for entry, count in zip(entries, counts, strict=False)
        )
        if len(entries) != len(counts) or not all(
            len(numbers) == count and all(_is_whole(number, 1, most) for number in numbers)
            for numbers, count in zip(found, counts, strict=True)
        ):
            raise self.error(
                key,
                f"a list of {len(counts)} whole numbers from 1 to {most:,}, or of lists of them",
            )
        return found

    def kinds(self, key: str, known: Mapping[str, bool], length: int) -> tuple[bool, ...]:
        """A flag for each of `length` named kinds; raises CheckpointError."""
        value = self._data.get(key)
        names = list(known)  # a list: what is looked up may be no key of a mapping
        if (
            not isinstance(value, list)
            or len(value) != length
            or any(v not in names for v in value)
        ):
            raise self.error(key, f"{length} of {', '.join(names)}")
        return tuple(known[kind] for kind in value)

    def check_groups(self, groups: int, channels: tuple[int, ...]) -> None:
        """Raise CheckpointError unless every width divides into `groups`."""
        if any(width % groups for width in channels):
            raise self.error(
                "norm_num_groups", f"a divisor of block_out_channels, {list(channels)}"
            )

    def check_size(self, keys: str, layers: int, weights: int) -> None:
        """Raise CheckpointError for a network that is too large to be one of SDXL's kind.

        keys  of which its size is a product, in words
        """
        for count, most, what in (
            (layers, _MAX_LAYERS, "layers"),
            (weights, _MAX_WEIGHTS, "weights"),
        ):
            if count > most:
                raise CheckpointError(
                    f"{self._source}: {keys} come to {count:,} {what}; this engine draws only "
                    f"models where they come to at most {most:,}."
                )


def _is_whole(value: object, least: int, most: int) -> bool:
    return type(value) is int and least <= value <= most
