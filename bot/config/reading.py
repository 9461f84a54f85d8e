"""`config.toml` and the environment, read once, checked whole, then frozen.

A key is set in the file or, stronger, by `IMAGINE_<SECTION>__<KEY>`. Tokens come from variables of
their own alone: `DISCORD_TOKEN`, `SLACK_BOT_TOKEN`, `SLACK_APP_TOKEN`, `SLACK_SIGNING_SECRET`, and
where Slack rotates the bot's, `SLACK_REFRESH_TOKEN`, `SLACK_CLIENT_ID`, `SLACK_CLIENT_SECRET`.
"""

import re
import stat
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import Field, dataclass, fields
from pathlib import Path
from typing import Final, NamedTuple

from bot.config.kinds import Kind
from bot.config.sections import Config, EngineKindConfig
from bot.errors import ConfigError
from bot.shared.nearest import did_you_mean
from bot.shared.secret import Secret
from bot.shared.shown import one_line, shown

DEFAULT_PATH: Final = Path("config.toml")
# The names of variables, not tokens.
TOKEN_VARIABLE: Final = "DISCORD_TOKEN"  # noqa: S105
SLACK_BOT_VARIABLE: Final = "SLACK_BOT_TOKEN"
SLACK_APP_VARIABLE: Final = "SLACK_APP_TOKEN"
SLACK_SIGNING_VARIABLE: Final = "SLACK_SIGNING_SECRET"
# In the order of `SlackRotation`.
SLACK_ROTATION_VARIABLES: Final = ("SLACK_CLIENT_ID", "SLACK_CLIENT_SECRET", "SLACK_REFRESH_TOKEN")
_ROTATED: Final = "xoxe."  # what a token begins with that ends
PREFIX: Final = "IMAGINE_"
_MAX_FILE_BYTES: Final = 2**16
_NAME_CHARS: Final = 60  # of a name that somebody wrote, in a sentence about it
_VALUE_CHARS: Final = 60
_PATH_CHARS: Final = 200
_MAX_TOKEN_CHARS: Final = 1_000
# In the name of what is kept out of files.
_SECRET: Final = re.compile("token|secret", re.IGNORECASE)

# Of this there are as many as somebody writes: [engines.NAME].
_ENGINES: Final = "engines"
_SECTIONS: Final[Mapping[str, Callable[..., object]]] = {
    one.name: one.default_factory  # type: ignore[misc]  # every section above has a factory
    for one in fields(Config)
    if one.name != _ENGINES
}
_KEYS: Final[Mapping[str, Mapping[str, Field[object]]]] = {
    name: {one.name: one for one in fields(section)}  # type: ignore[arg-type]  # a dataclass
    for name, section in _SECTIONS.items()
}
_ENGINE_KEYS: Final[Mapping[str, Field[object]]] = {
    one.name: one for one in fields(EngineKindConfig)
}
_ENGINE_NAME: Final = re.compile(r"(?!turns$)[a-z][a-z0-9]{0,29}")  # that gives them their turns


def load_config(path: Path | None, environ: Mapping[str, str]) -> Config:
    """The configuration of this start.

    path     a file that must exist; None is config.toml in the working folder, if there is one
    environ  usually os.environ

    Raises ConfigError.
    """
    values: dict[str, dict[str, object]] = {name: {} for name in _SECTIONS}
    engines: dict[str, dict[str, object]] = {}
    if path is not None or DEFAULT_PATH.exists():
        _read_file(path or DEFAULT_PATH, values, engines)
    _read_environment(environ, values)
    config = Config(
        engines={name: EngineKindConfig(**said) for name, said in engines.items()},  # type: ignore[arg-type]  # each value was read by its own kind
        **{name: make(**values[name]) for name, make in _SECTIONS.items()},  # type: ignore[arg-type]  # as above
    )
    _check_bots(config)
    return config


def _check_bots(config: Config) -> None:
    """Whether bots that share a chat system could; raises ConfigError."""
    discord = config.discord
    if discord.bots == 1:
        return
    if not config.storage.database:
        raise ConfigError(
            f"[discord] bots is {discord.bots}, and each bot would have a ledger of its own. "
            "Several bots need one PostgreSQL: set [storage] database, or [discord] bots to 1."
        )
    if discord.shards < discord.bots:
        raise ConfigError(
            f"[discord] bots is {discord.bots}, and [discord] shards is {discord.shards}: all bots "
            "must agree on how many there are, and each needs one. Set [discord] shards to as many "
            "as there are bots, or more."
        )


class SlackRotation(NamedTuple):
    """What buys the next token of the bot's in Slack, where its tokens end."""

    client_id: Secret
    client_secret: Secret
    refresh_token: Secret


@dataclass(frozen=True, slots=True)
class SlackTokens:
    """What opens Slack: the bot's token, and at least one of the two others.

    app       opens sockets, over which the bot is told
    signing   is what Slack signs with where it tells the bot over HTTP
    rotation  None: the bot's token does not end
    """

    bot: Secret
    app: Secret | None
    signing: Secret | None = None
    rotation: SlackRotation | None = None


@dataclass(frozen=True, slots=True)
class Tokens:
    """What opens the chat systems that there are tokens for."""

    discord: Secret | None
    slack: SlackTokens | None

    @property
    def all(self) -> tuple[Secret, ...]:
        """Every one of them: none is to be read anywhere."""
        slack = self.slack
        of_slack = () if slack is None else (slack.bot, slack.app, slack.signing)
        rotation = () if slack is None or slack.rotation is None else slack.rotation
        return tuple(filter(None, (self.discord, *of_slack, *rotation)))


def chat_tokens(environ: Mapping[str, str]) -> Tokens:
    """The bot's tokens; raises ConfigError if there is none, or not all that Slack needs."""
    discord = _token(environ, TOKEN_VARIABLE)
    slack = slack_tokens(environ)
    if discord is None and slack is None:
        raise ConfigError(
            f"There is no bot token. Set the environment variable {TOKEN_VARIABLE} to the token "
            f"of your application's bot, or {SLACK_BOT_VARIABLE} and {SLACK_APP_VARIABLE} for "
            f"Slack ({SLACK_SIGNING_VARIABLE} in place of the second where Slack tells the bot "
            "over HTTP), or try `imagine playground`, which needs none."
        )
    return Tokens(discord, slack)


def _rotation(environ: Mapping[str, str], bot: Secret) -> SlackRotation | None:
    found = {name: _token(environ, name) for name in SLACK_ROTATION_VARIABLES}
    there = {name: token for name, token in found.items() if token is not None}
    ends = bot.reveal().startswith(_ROTATED)
    if len(there) == len(found):
        return SlackRotation(*there.values())
    if not there and not ends:
        return None
    missing = " and ".join(name for name in found if name not in there)
    why = (
        f"{SLACK_BOT_VARIABLE} is one that ends within twelve hours"
        if ends
        else f"There is {' and '.join(there)}"
    )
    raise ConfigError(
        f"{why}, and no {missing}: to rotate tokens Slack needs all three of "
        f"{', '.join(SLACK_ROTATION_VARIABLES)}. Copy them from your app's page."
    )


def slack_tokens(environ: Mapping[str, str]) -> SlackTokens | None:
    """Slack's; None: there are none. Raises ConfigError if there are not all that it needs."""
    names = SLACK_BOT_VARIABLE, SLACK_APP_VARIABLE, SLACK_SIGNING_VARIABLE
    bot, app, signing = (_token(environ, name) for name in names)
    if bot is None and app is None and signing is None:
        return None
    if bot is None:
        there = SLACK_APP_VARIABLE if app is not None else SLACK_SIGNING_VARIABLE
        raise ConfigError(
            f"There is {there}, and no {SLACK_BOT_VARIABLE}: Slack needs both. Copy it from your "
            "app's page, or take the other away."
        )
    if app is None and signing is None:
        raise ConfigError(
            f"There is {SLACK_BOT_VARIABLE}, and no {SLACK_APP_VARIABLE}: Slack needs both. Copy "
            f"it from your app's page, or {SLACK_SIGNING_VARIABLE} where Slack tells the bot over "
            "HTTP, or take the other away."
        )
    return SlackTokens(bot, app, signing, _rotation(environ, bot))


def _variable_of(section: str) -> str:
    """Where what somebody wrote into a section belongs."""
    if section != "slack":
        return TOKEN_VARIABLE
    return f"{SLACK_BOT_VARIABLE}, {SLACK_APP_VARIABLE} or {SLACK_SIGNING_VARIABLE}"


def _token(environ: Mapping[str, str], name: str) -> Secret | None:
    token = environ.get(name, "").strip()
    if not token:
        return None
    if not token.isascii() or not token.isprintable() or len(token) > _MAX_TOKEN_CHARS:
        raise ConfigError(
            f"What the environment variable {name} holds is no token of a bot. Copy the "
            "token anew from your application's page, and nothing else."
        )
    return Secret(token)


def _read_file(
    path: Path, values: dict[str, dict[str, object]], engines: dict[str, dict[str, object]]
) -> None:
    file = one_line(str(path), _PATH_CHARS)
    for section, table in _parse_file(path).items():
        name = one_line(section, _NAME_CHARS)
        if section == _ENGINES:
            engines.update(_read_engines(file, table))
            continue
        if section not in _KEYS:
            if not isinstance(table, dict) and "token" not in section.lower():
                raise ConfigError(
                    f"{file} sets {name} outside of every section. Move the line below the "
                    f"[section] that it belongs to, or delete it. The sections are: "
                    f"{', '.join(_KEYS)}."
                )
            raise ConfigError(
                f"{file} has a section [{name}] that does not exist."
                f"{did_you_mean(section, _KEYS)} Rename or delete it."
            )
        values[section].update(_read_table(file, section, table, _KEYS[section]))


def _read_engines(file: str, table: object) -> dict[str, dict[str, object]]:
    """The kinds of engines, each with what it says of itself."""
    if not isinstance(table, dict) or not all(isinstance(one, dict) for one in table.values()):
        raise ConfigError(
            f"[{_ENGINES}] in {file} holds no keys. Write a section for each kind of engine, such "
            f"as [{_ENGINES}.small], and its keys below."
        )
    for name in table:
        if not _ENGINE_NAME.fullmatch(name):
            raise ConfigError(
                f"{file} calls a kind of engine {one_line(name, _NAME_CHARS)!r}. Call it by at "
                f"most 30 small letters and digits, such as [{_ENGINES}.small], and not turns."
            )
    return {
        name: _read_table(file, f"{_ENGINES}.{name}", one, _ENGINE_KEYS)
        for name, one in table.items()
    }


def _read_table(
    file: str, section: str, table: object, keys: Mapping[str, Field[object]]
) -> dict[str, object]:
    """What a section says, each by its own kind."""
    if not isinstance(table, dict):
        raise ConfigError(
            f"{section} in {file} must be a section, not a value. Write [{section}] on a line "
            "of its own and its keys below."
        )
    for key in table:
        said = one_line(key, _NAME_CHARS)
        if _SECRET.search(key):
            raise ConfigError(
                f"[{section}] {said} in {file}: a token never stands in a file. Delete the "
                f"line and set the environment variable {_variable_of(section)}."
            )
        if key not in keys:
            raise ConfigError(
                f"{file} has a key '{said}' in [{section}] that does not exist."
                f"{did_you_mean(key, keys)} Rename or delete it."
            )
    return {
        key: _checked(keys[key], f"[{section}] {key} in {file}", value)
        for key, value in table.items()
    }


def _parse_file(path: Path) -> dict[str, object]:
    file = one_line(str(path), _PATH_CHARS)
    try:
        return tomllib.loads(_read(path).decode("utf-8-sig").replace("\r\n", "\n"))
    except FileNotFoundError:
        raise ConfigError(
            f"There is no configuration file {file}. Check the path behind --config."
        ) from None
    except OSError as error:
        raise ConfigError(
            f"The configuration file {file} cannot be read ({error.strerror}). Check the path "
            "and its permissions."
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"The configuration file {file} is not UTF-8 text. Save it as UTF-8."
        ) from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(
            f"{file} is not valid TOML: {one_line(str(error), _PATH_CHARS)}. Correct it; a section "
            "or key may stand there once."
        ) from error
    except (ValueError, RecursionError) as error:  # a number or brackets that Python gives up on
        raise ConfigError(
            f"{file} holds a number with too many digits, or brackets in brackets without end. "
            "Compare it with the config.toml that came with the bot, and correct it."
        ) from error


def _read(path: Path) -> bytes:
    """The file; raises OSError, and ConfigError for what is no file or too large for one."""
    file = one_line(str(path), _PATH_CHARS)
    if "\0" in str(path):
        raise FileNotFoundError
    # Asked before it is opened: to open a pipe waits until somebody writes to it.
    if not stat.S_ISREG(path.stat().st_mode):
        raise ConfigError(
            f"The configuration file {file} cannot be read: it is no file. Name a config.toml "
            "behind --config."
        )
    with path.open("rb") as opened:
        data = opened.read(_MAX_FILE_BYTES + 1)
    if len(data) > _MAX_FILE_BYTES:
        raise ConfigError(
            f"The configuration file {file} is larger than 64 KB. Name a config.toml behind "
            "--config."
        )
    return data


def _read_environment(environ: Mapping[str, str], values: dict[str, dict[str, object]]) -> None:
    names = {
        f"{PREFIX}{section}__{key}".upper(): (section, key)
        for section, keys in _KEYS.items()
        for key in keys
    }
    for name, text in environ.items():
        if not name.startswith(PREFIX):
            continue
        said = f"The environment variable {one_line(name, _NAME_CHARS)} sets nothing"
        if name not in names and _SECRET.search(name):
            section = name.removeprefix(PREFIX).partition("__")[0].lower()
            raise ConfigError(f"{said}: unset it and set {_variable_of(section)}.")
        if name not in names:
            raise ConfigError(
                f"{said}: there is no such key.{did_you_mean(name, names)} Rename or unset it."
            )
        section, key = names[name]
        try:
            value = _kind(_KEYS[section][key]).parse(text)
        except (ValueError, OverflowError):
            value = text  # not of its kind: the check says so
        values[section][key] = _checked(
            _KEYS[section][key], f"The environment variable {name}", value
        )


def _checked(key: Field[object], place: str, value: object) -> object:
    kind = _kind(key)
    try:
        return kind.read(value)
    except (ValueError, OverflowError):
        said = f", not {shown(value, _VALUE_CHARS)}" if kind.is_shown else ""
        raise ConfigError(f"{place} must be {kind.expected}{said}. Correct it.") from None


def _kind(key: Field[object]) -> Kind:
    kind = key.metadata["kind"]
    assert isinstance(kind, Kind)  # noqa: S101 - narrows what metadata holds; key put it there
    return kind
