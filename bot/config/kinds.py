"""What a key of the configuration may hold."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from bot.shared.files import can_be_path
from sdxl_engine.errors import InvalidRequestError
from sdxl_engine.request import (
    MAX_SIDE_PX,
    MIN_SIDE_PX,
    SAMPLERS,
    SIDE_MULTIPLE_PX,
    SPACINGS,
    parse_bytes,
    parse_sampler_and_spacing,
    parse_size,
    parse_spacing,
)

_MAX_CHOICES: Final = 25  # Discord's limit for the choices of one option
_MIN_WEIGHT: Final = 0.1
_MAX_TEXT_CHARS: Final = 1_000
DATABASE_ADDRESS: Final = (
    "postgresql://USER@HOST/DATABASE without a password, which belongs in the environment variable "
    "PGPASSWORD or in libpq's password file"
)
_DATABASES: Final = ("postgresql", "postgres")  # libpq knows both
# A bucket as S3 lets it be called, and folders in it; nothing that opens it.
_BUCKET: Final = re.compile(
    r"s3://[A-Za-z0-9][\w.-]{2,62}(/(?!\.{1,2}(/|$))[\w.=+-]+)*/?", re.ASCII
)
_ADDRESS: Final = re.compile(r"(?:[\w.-]+|\[[0-9a-fA-F:]+\]):(\d{1,5})", re.ASCII)
_MAX_PORT: Final = 65_535
_RESOURCE: Final = re.compile(r"[A-Za-z][\w:-]{0,59}", re.ASCII)
_MAX_AMOUNT: Final = 1e15  # memory is counted in bytes
_SIDES: Final = f"each side a multiple of {SIDE_MULTIPLE_PX} from {MIN_SIDE_PX} to {MAX_SIDE_PX}"


@dataclass(frozen=True, slots=True)
class Kind:
    """What a key may hold.

    expected  the end of "... must be", for a person
    read      the checked value from a TOML value; raises ValueError
    parse     the TOML value that a text from the environment stands for; raises ValueError
    is_shown  whether a wrong value may be repeated: not if it may hold what opens something
    """

    expected: str
    read: Callable[[object], object]
    parse: Callable[[str], object] = str
    is_shown: bool = True


def text(*, empty: bool = False, most: int = _MAX_TEXT_CHARS) -> Kind:
    """Any text of so many characters; without the spaces around it."""

    def read(value: object) -> str:
        if not isinstance(value, str) or not (empty or value.strip()):
            raise ValueError
        if not value.strip().isprintable() or len(value) > most:
            raise ValueError
        return value.strip()

    limits = f"of at most {most:,} characters on one line"
    return Kind(f"a text {limits}" if empty else f"a text that is not empty, {limits}", read)


def one_of(*words: str) -> Kind:
    """One of the words, in capitals or not."""

    def read(value: object) -> object:
        if not isinstance(value, str) or value.lower() not in words:
            raise ValueError
        return value.lower()

    return Kind("one of " + ", ".join(f'"{word}"' for word in words), read)


def some_of(*words: str) -> Kind:
    """A list of the words, at least one."""
    several = _list_of(one_of(*words).read, one_of(*words).expected)

    def read(value: object) -> object:
        if not value:
            raise ValueError
        return several.read(value)

    expected = "a list of one or more of " + ", ".join(f'"{word}"' for word in words)
    return Kind(expected, read, several.parse)


def truth() -> Kind:
    """True or false."""

    def read(value: object) -> bool:
        if not isinstance(value, bool):
            raise ValueError  # noqa: TRY004 - one error for every wrong value
        return value

    def parse(text: str) -> object:
        return {"true": True, "false": False}.get(text.strip().lower(), text)

    return Kind("true or false", read, parse)


def whole(low: int, high: int) -> Kind:
    """A whole number, both ends included."""

    def read(value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise ValueError
        return value

    return Kind(f"a whole number from {low} to {high}", read, int)


def number(low: float, high: float) -> Kind:
    """A number, both ends included."""

    def read(value: object) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError  # noqa: TRY004 - one error for every wrong value
        if not low <= value <= high:  # NaN is in no interval
            raise ValueError
        return float(value)

    return Kind(f"a number from {low:g} to {high:g}", read, float)


def url(*schemes: str, empty: str) -> Kind:
    """An address, or an empty text, which stands for `empty`."""

    def read(value: object) -> str:
        if not isinstance(value, str):
            raise ValueError  # noqa: TRY004 - one error for every wrong value
        parts = urlsplit(value)
        if value and (parts.scheme not in schemes or not parts.hostname or parts.port == 0):
            raise ValueError
        if len(value) > _MAX_TEXT_CHARS or not value.isprintable() or " " in value:
            raise ValueError
        return value

    starts = " or ".join(f"{scheme}://" for scheme in schemes)
    return Kind(f"empty ({empty}) or an address that starts with {starts}", read)


def database() -> Kind:
    """A PostgreSQL's address that holds no password, or an empty text: a file of the bot's."""

    def read(value: object) -> str:
        if not isinstance(value, str):
            raise ValueError  # noqa: TRY004 - one error for every wrong value
        parts = urlsplit(value)
        if value and (parts.scheme not in _DATABASES or not parts.path.strip("/")):
            raise ValueError
        # Of the place alone: several machines may stand there, with commas between.
        if ":" in parts.netloc.rpartition("@")[0] or "password" in parts.query:
            raise ValueError
        if len(value) > _MAX_TEXT_CHARS or not value.isprintable() or " " in value:
            raise ValueError
        return value

    return Kind(
        f"empty (a file in [storage] folder) or {DATABASE_ADDRESS}",
        read,
        is_shown=False,
    )


def memory() -> Kind:
    """An amount of memory in bytes, or "auto", which is None."""

    def read(value: object) -> int | None:
        if not isinstance(value, str):
            raise ValueError  # noqa: TRY004 - one error for every wrong value
        if value.strip().lower() == "auto":
            return None
        try:
            return parse_bytes(value)
        except InvalidRequestError as error:
            raise ValueError from error

    return Kind('"auto" or an amount of memory such as "8GB"', read)


def optional(kind: Kind) -> Kind:
    """What another kind may be, or an empty text, which is None."""

    def read(value: object) -> object:
        return None if value == "" else kind.read(value)

    def parse(text: str) -> object:
        return kind.parse(text) if text.strip() else ""

    return Kind(f"{kind.expected}, or empty", read, parse)


def sampler() -> Kind:
    """A sampler, perhaps with a spacing, as people write them: the names of both."""
    return Kind(f"one of {', '.join(SAMPLERS)}", _by(parse_sampler_and_spacing))


def spacing() -> Kind:
    """A spacing of noise levels, likewise."""
    return Kind(f"one of {', '.join(SPACINGS)}", _by(parse_spacing))


def texts(what: str) -> Kind:
    """Texts, none of them empty."""
    return _list_of(text().read, what)


def size() -> Kind:
    """An image's size."""
    return Kind(f'a size such as "1024x1024", {_SIDES}', _by(parse_size))


def sizes() -> Kind:
    """Image sizes."""
    return _list_of(_by(parse_size), f'sizes such as "1024x1024", {_SIDES}')


def snowflakes() -> Kind:
    """Ids of Discord's servers."""
    return _list_of(_snowflake, "server ids (whole numbers)")


def role_weights() -> Kind:
    """Ids of Discord's roles, each with what its people's requests weigh."""
    return _list_of(_role_weight, 'role ids with a weight from 0.1 to 10, such as "123=2"')


def scores() -> Kind:
    """Categories of a picture check, each with the score from which on something is done."""
    return _list_of(_score, 'categories with a score from 0 to 1, such as "nsfw=0.8"')


def resources() -> Kind:
    """What Ray calls something that a machine has, each with how much of it."""
    return _list_of(_resource, 'resources with an amount, such as "GPU=1"')


def address() -> Kind:
    """Where something listens, HOST:PORT, or an empty text."""

    def read(value: object) -> str:
        if not isinstance(value, str):
            raise ValueError  # noqa: TRY004 - one error for every wrong value
        found = _ADDRESS.fullmatch(value.strip())
        if value.strip() and (found is None or not 0 < int(found[1]) <= _MAX_PORT):
            raise ValueError
        return value.strip()

    return Kind(
        "empty (a cluster of its own on this machine) or such as ray.example.org:6379", read
    )


def folder(*, empty: bool = False) -> Kind:
    """The path of a folder; None for an empty text, where that may be."""
    return _path("folder", empty=empty)


def place() -> Kind:
    """Where files are kept: the path of a folder, or the address of a bucket; None for neither."""
    here = folder(empty=True)

    def read(value: object) -> object:
        if not isinstance(value, str) or "://" not in value:
            return here.read(value)
        if len(value) > _MAX_TEXT_CHARS or not _BUCKET.fullmatch(value.strip()):
            raise ValueError
        return value.strip().rstrip("/")

    return Kind(
        "empty (in [storage] folder), the path of a folder, or s3://BUCKET/PREFIX; what opens a "
        "bucket belongs in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
        read,
        is_shown=False,
    )


def file() -> Kind:
    """The path of a file; None for an empty text."""
    return _path("file", empty=True)


def _path(what: str, *, empty: bool) -> Kind:
    def read(value: object) -> Path | None:
        if not isinstance(value, str) or not (empty or value.strip()):
            raise ValueError
        if not value.strip():
            return None
        if not can_be_path(value):
            raise ValueError
        try:
            return Path(value).expanduser()
        except RuntimeError as error:  # "~somebody" who is not there
            raise ValueError from error

    return Kind(f"the path of a {what}, or empty" if empty else f"the path of a {what}", read)


def key(default: object, kind: Kind) -> Any:  # noqa: ANN401 - as dataclasses.field itself
    """A field of a section."""
    return field(default=default, metadata={"kind": kind})


def _list_of(item: Callable[[object], object], expected: str) -> Kind:
    def read(value: object) -> tuple[object, ...]:
        if not isinstance(value, list):
            raise ValueError  # noqa: TRY004 - one error for every wrong value
        items = tuple(item(one) for one in value)
        if len(items) > _MAX_CHOICES or len(set(items)) < len(items):
            raise ValueError
        return items

    def parse(text: str) -> list[object]:
        return [part.strip() for part in text.split(",")] if text.strip() else []

    return Kind(f"a list of at most {_MAX_CHOICES} different {expected}", read, parse)


def _by(parse: Callable[[str], object]) -> Callable[[object], object]:
    """Read a text as a request's text is read."""

    def read(value: object) -> object:
        if not isinstance(value, str):
            raise ValueError  # noqa: TRY004 - one error for every wrong value
        try:
            return parse(value)
        except InvalidRequestError as error:
            raise ValueError from error

    return read


def _snowflake(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ValueError  # noqa: TRY004 - one error for every wrong value
    number = int(value)
    if not 0 < number < 2**63:
        raise ValueError
    return number


def _role_weight(value: object) -> tuple[int, float]:
    role, _, weight = str(value).partition("=")
    share = float(weight)
    if not isinstance(value, str) or not _MIN_WEIGHT <= share <= 1 / _MIN_WEIGHT:
        raise ValueError
    return _snowflake(role), share


def _resource(value: object) -> tuple[str, float]:
    if not isinstance(value, str):
        raise ValueError  # noqa: TRY004 - one error for every wrong value
    name, _, amount = value.partition("=")
    much = float(amount)
    if not _RESOURCE.fullmatch(name.strip()) or not 0 < much <= _MAX_AMOUNT:
        raise ValueError
    return name.strip(), much


def _score(value: object) -> tuple[str, float]:
    if not isinstance(value, str):
        raise ValueError  # noqa: TRY004 - one error for every wrong value
    category, _, score = value.partition("=")
    least = float(score)
    if not category.strip() or not 0 <= least <= 1:
        raise ValueError
    return category.strip(), least
