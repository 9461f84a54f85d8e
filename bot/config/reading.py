"""`config.toml` and the environment, read once, checked whole, then frozen.

Every key is a field of one of the sections below, with its default and what it may be. A key is
set in the file or, stronger, by `IMAGINE_<SECTION>__<KEY>`. The token comes only from
`DISCORD_TOKEN`.
"""

import textwrap
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import Field, dataclass, field, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from bot.errors import ConfigError
from sdxl_engine import InvalidRequestError, format_size, parse_size
from sdxl_engine.request import MAX_GUIDANCE_SCALE, MAX_IMAGES, MAX_INFERENCE_STEPS

DEFAULT_PATH: Final = Path("config.toml")
TOKEN_VARIABLE: Final = "DISCORD_TOKEN"  # noqa: S105 - the name of the variable, not a token
PREFIX: Final = "IMAGINE_"
_CLOSE: Final = 0.75  # how alike two words must be (difflib) for one to be a slip of the other
_MAX_CHOICES = 25  # Discord's limit for the choices of one option
_MIN_WEIGHT: Final = 0.1
_NO_LIMIT: Final = 1_000_000  # 0 says it too


class Secret:
    """A text that does not show itself in a log, a traceback or a repr; `reveal` gives it."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The text itself."""
        return self._text

    def __repr__(self) -> str:
        return "Secret(...)"

    def __bool__(self) -> bool:
        return bool(self._text)


@dataclass(frozen=True, slots=True)
class _Kind:
    """What a key may hold.

    expected  the end of "... must be", for a person
    read      the checked value from a TOML value; raises ValueError
    parse     the TOML value that a text from the environment stands for; raises ValueError
    """

    expected: str
    read: Callable[[object], object]
    parse: Callable[[str], object] = str


def _text(*, empty: bool = False) -> _Kind:
    def read(value: object) -> str:
        if not isinstance(value, str) or "\0" in value or not (empty or value.strip()):
            raise ValueError
        return value.strip()

    return _Kind("a text" if empty else "a text that is not empty", read)


def _one_of(*words: str) -> _Kind:
    def read(value: object) -> object:
        if not isinstance(value, str) or value.lower() not in words:
            raise ValueError
        return value.lower()

    return _Kind("one of " + ", ".join(f'"{word}"' for word in words), read)


def _whole(low: int, high: int) -> _Kind:
    def read(value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise ValueError
        return value

    return _Kind(f"a whole number from {low} to {high}", read, int)


def _number(low: float, high: float) -> _Kind:
    def read(value: object) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError  # noqa: TRY004 - one error for every wrong value
        if not low <= value <= high:  # NaN is in no interval
            raise ValueError
        return float(value)

    return _Kind(f"a number from {low:g} to {high:g}", read, float)


def _url(*schemes: str) -> _Kind:
    def read(value: object) -> str:
        if not isinstance(value, str):
            raise ValueError  # noqa: TRY004 - one error for every wrong value
        parts = urlsplit(value)
        if value and (parts.scheme not in schemes or not parts.hostname):
            raise ValueError
        return value

    starts = " or ".join(f"{scheme}://" for scheme in schemes)
    return _Kind(f"empty (the real Discord) or an address that starts with {starts}", read)


def _list_of(item: Callable[[object], object], expected: str) -> _Kind:
    def read(value: object) -> tuple[object, ...]:
        if not isinstance(value, list):
            raise ValueError  # noqa: TRY004 - one error for every wrong value
        items = tuple(item(one) for one in value)
        if len(items) > _MAX_CHOICES or len(set(items)) < len(items):
            raise ValueError
        return items

    def parse(text: str) -> list[object]:
        return [part.strip() for part in text.split(",")] if text.strip() else []

    return _Kind(f"a list of at most {_MAX_CHOICES} different {expected}", read, parse)


def _size(value: object) -> tuple[int, int]:
    if not isinstance(value, str):
        raise ValueError  # noqa: TRY004 - one error for every wrong value
    try:
        return parse_size(value)
    except InvalidRequestError as error:
        raise ValueError from error


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


def _folder(value: object) -> Path:
    if not isinstance(value, str) or not value.strip() or "\0" in value:
        raise ValueError
    try:
        return Path(value).expanduser()
    except RuntimeError as error:  # "~somebody" who is not there
        raise ValueError from error


def _key(default: object, kind: _Kind) -> Any:  # noqa: ANN401 - as dataclasses.field itself
    return field(default=default, metadata={"kind": kind})


@dataclass(frozen=True, slots=True)
class EngineConfig:
    """[engine] what draws."""

    model: str = _key("doodle", _text())
    revision: str = _key("", _text(empty=True))
    dtype: str = _key("auto", _one_of("auto", "float32", "bfloat16"))
    sizes: tuple[tuple[int, int], ...] = _key((), _list_of(_size, 'sizes such as "1024x1024"'))
    images_per_request: int = _key(4, _whole(1, MAX_IMAGES))
    default_steps: int = _key(20, _whole(1, MAX_INFERENCE_STEPS))
    default_guidance: float = _key(5.0, _number(0, MAX_GUIDANCE_SCALE))
    stuck_after_s: float = _key(300.0, _number(0, 86_400))

    @property
    def model_name(self) -> str:
        """The model's short name, as it is written beside the settings of a picture."""
        return Path(self.model).name or self.model


@dataclass(frozen=True, slots=True)
class DiscordConfig:
    """[discord] where people are."""

    api_url: str = _key("", _url("http", "https"))
    gateway_url: str = _key("", _url("ws", "wss"))
    guild_ids: tuple[int, ...] = _key((), _list_of(_snowflake, "server ids (whole numbers)"))


@dataclass(frozen=True, slots=True)
class StorageConfig:
    """[storage] what stays between two starts."""

    folder: Path = _key(Path("data"), _Kind("the path of a folder", _folder))  # noqa: RUF009 - a Path is frozen too
    keep_days: int = _key(30, _whole(2, 36_500))  # a day's limits look back one


@dataclass(frozen=True, slots=True)
class JobsConfig:
    """[jobs] the line of waiting jobs."""

    max_queued: int = _key(32, _whole(1, 1000))
    shutdown_grace_s: float = _key(20.0, _number(0, 600))


@dataclass(frozen=True, slots=True)
class LimitsConfig:
    """[limits] how much one person, or one server, may ask for."""

    user_active: int = _key(5, _whole(0, _NO_LIMIT))
    user_per_minute: int = _key(10, _whole(0, _NO_LIMIT))
    user_per_day: int = _key(200, _whole(0, _NO_LIMIT))
    guild_per_minute: int = _key(60, _whole(0, _NO_LIMIT))
    guild_per_day: int = _key(2000, _whole(0, _NO_LIMIT))
    role_weights: tuple[tuple[int, float], ...] = _key(
        (), _list_of(_role_weight, 'role ids with a weight from 0.1 to 10, such as "123=2"')
    )


@dataclass(frozen=True, slots=True)
class HealthConfig:
    """[health] what monitoring asks the bot."""

    port: int = _key(8643, _whole(0, 65_535))


@dataclass(frozen=True, slots=True)
class PlaygroundConfig:
    """[playground] the loopback Discord and its page."""

    port: int = _key(8642, _whole(0, 65_535))


@dataclass(frozen=True, slots=True)
class LogConfig:
    """[log] what is written to standard error."""

    level: str = _key("info", _one_of("debug", "info", "warning", "error"))
    format: str = _key("plain", _one_of("plain", "json"))


@dataclass(frozen=True, slots=True)
class Config:
    """The whole configuration; a section a field."""

    engine: EngineConfig = field(default_factory=EngineConfig)
    discord: DiscordConfig = field(default_factory=DiscordConfig)
    storage: StorageConfig = field(default_factory=StorageConfig)
    jobs: JobsConfig = field(default_factory=JobsConfig)
    limits: LimitsConfig = field(default_factory=LimitsConfig)
    health: HealthConfig = field(default_factory=HealthConfig)
    playground: PlaygroundConfig = field(default_factory=PlaygroundConfig)
    log: LogConfig = field(default_factory=LogConfig)


_SECTIONS: Final[Mapping[str, Callable[..., object]]] = {
    one.name: one.default_factory  # type: ignore[misc]  # every section above has a factory
    for one in fields(Config)
}
_KEYS: Final[Mapping[str, Mapping[str, Field[object]]]] = {
    name: {one.name: one for one in fields(section)}  # type: ignore[arg-type]  # a dataclass
    for name, section in _SECTIONS.items()
}


def load_config(path: Path | None, environ: Mapping[str, str]) -> Config:
    """The configuration of this start.

    path     a file that must exist; None is config.toml in the working folder, if there is one
    environ  usually os.environ

    Raises ConfigError.
    """
    values: dict[str, dict[str, object]] = {name: {} for name in _SECTIONS}
    if path is not None or DEFAULT_PATH.exists():
        _read_file(path or DEFAULT_PATH, values)
    _read_environment(environ, values)
    return Config(**{name: make(**values[name]) for name, make in _SECTIONS.items()})  # type: ignore[arg-type]  # each value was read by its own kind


def discord_token(environ: Mapping[str, str]) -> Secret:
    """The bot's token; raises ConfigError if there is none."""
    token = environ.get(TOKEN_VARIABLE, "").strip()
    if not token:
        raise ConfigError(
            f"There is no bot token. Set the environment variable {TOKEN_VARIABLE} to the token "
            "of your application's bot, or try `imagine playground`, which needs none."
        )
    return Secret(token)


def _read_file(path: Path, values: dict[str, dict[str, object]]) -> None:
    for section, table in _parse_file(path).items():
        if section not in _KEYS:
            raise ConfigError(
                f"{path} has a section [{section}] that does not exist."
                f"{_did_you_mean(section, _KEYS)} Rename or delete it."
            )
        if not isinstance(table, dict):
            raise ConfigError(
                f"{section} in {path} must be a section, not a value. Write [{section}] on a line "
                "of its own and its keys below."
            )
        for key, value in table.items():
            if "token" in key.lower():
                raise ConfigError(
                    f"[{section}] {key} in {path}: a token never stands in a file. Delete the "
                    f"line and set the environment variable {TOKEN_VARIABLE}."
                )
            if key not in _KEYS[section]:
                raise ConfigError(
                    f"{path} has a key {key!r} in [{section}] that does not exist."
                    f"{_did_you_mean(key, _KEYS[section])} Rename or delete it."
                )
            values[section][key] = _checked(section, key, f"[{section}] {key} in {path}", value)


def _parse_file(path: Path) -> dict[str, object]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise ConfigError(
            f"There is no configuration file {path}. Check the path behind --config."
        ) from None
    except OSError as error:
        raise ConfigError(
            f"The configuration file {path} cannot be read ({error.strerror}). Check its "
            "permissions."
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"The configuration file {path} is not UTF-8 text. Save it as UTF-8."
        ) from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(
            f"{path} is not valid TOML: {error}. Correct it; a section or key may stand there once."
        ) from error


def _read_environment(environ: Mapping[str, str], values: dict[str, dict[str, object]]) -> None:
    names = {
        f"{PREFIX}{section}__{key}".upper(): (section, key)
        for section, keys in _KEYS.items()
        for key in keys
    }
    for name, text in environ.items():
        if not name.startswith(PREFIX):
            continue
        if name not in names and "TOKEN" in name:
            raise ConfigError(
                f"The environment variable {name} sets nothing: unset it and set {TOKEN_VARIABLE}."
            )
        if name not in names:
            raise ConfigError(
                f"The environment variable {name} sets nothing: there is no such key."
                f"{_did_you_mean(name, names)} Rename or unset it."
            )
        section, key = names[name]
        kind = _kind(section, key)
        try:
            value = kind.parse(text)
        except ValueError:
            value = text  # not of its kind: the check says so
        values[section][key] = _checked(section, key, f"The environment variable {name}", value)


def _checked(section: str, key: str, place: str, value: object) -> object:
    kind = _kind(section, key)
    try:
        return kind.read(value)
    except ValueError:
        shown = textwrap.shorten(repr(value), 60, placeholder="…")
        raise ConfigError(f"{place} must be {kind.expected}, not {shown}. Correct it.") from None


def _kind(section: str, key: str) -> _Kind:
    kind = _KEYS[section][key].metadata["kind"]
    assert isinstance(kind, _Kind)  # noqa: S101 - narrows what metadata holds; _key put it there
    return kind


def _did_you_mean(word: str, known: Mapping[str, object]) -> str:
    close = get_close_matches(word, known, n=1, cutoff=_CLOSE)
    return f" Did you mean {close[0]}?" if close else f" There are: {', '.join(known)}."


def format_sizes(sizes: tuple[tuple[int, int], ...]) -> str:
    """The sizes as a person reads them: "1024x1024, 768x768"."""
    return ", ".join(format_size(*size) for size in sizes)
