"""`config.toml` and the environment, read once, checked whole, then frozen.

A key is set in the file or, stronger, by `IMAGINE_<SECTION>__<KEY>`. The token comes only from
`DISCORD_TOKEN`.
"""

import textwrap
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import Field, fields
from pathlib import Path
from typing import Final

from bot.config.kinds import Kind
from bot.config.sections import Config
from bot.errors import ConfigError
from bot.shared.nearest import did_you_mean
from bot.shared.secret import Secret

DEFAULT_PATH: Final = Path("config.toml")
TOKEN_VARIABLE: Final = "DISCORD_TOKEN"  # noqa: S105 - the name of the variable, not a token
PREFIX: Final = "IMAGINE_"

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
                f"{did_you_mean(section, _KEYS)} Rename or delete it."
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
                    f"{did_you_mean(key, _KEYS[section])} Rename or delete it."
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
                f"{did_you_mean(name, names)} Rename or unset it."
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


def _kind(section: str, key: str) -> Kind:
    kind = _KEYS[section][key].metadata["kind"]
    assert isinstance(kind, Kind)  # noqa: S101 - narrows what metadata holds; key put it there
    return kind
