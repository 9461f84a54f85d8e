"""Styles, from the file that comes with the bot and one that its owner wrote or brought.

A `.toml` has a table a style, as bot/data/styles.toml; a `.csv` is A1111's styles.csv, with the
columns name, prompt and negative_prompt, in which rows with a name alone are headings.
"""

import csv
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from bot.config import kinds
from bot.config.sections import StylesConfig
from bot.core import loras
from bot.core.styles import PLACE, Style, folded
from bot.errors import ConfigError
from bot.shared.nearest import did_you_mean
from bot.shared.shown import one_line, shown
from sdxl_engine.checkpoint.files import open_file, reason
from sdxl_engine.errors import InvalidRequestError
from sdxl_engine.request import MAX_GUIDANCE_SCALE, MAX_INFERENCE_STEPS

SHIPPED: Final = Path(__file__).parents[1] / "data" / "styles.toml"
MAX_STYLES: Final = 200
_MAX_BYTES: Final = 2**19  # MAX_STYLES of the longest texts take 450 KB in ASCII
_MAX_NAME_CHARS: Final = 50
_MAX_LINE_CHARS: Final = 100  # of what stands beside a name where styles are offered
_MAX_PROMPT_CHARS: Final = 1_000  # leaves three quarters of a prompt to whoever asks
_PATH_CHARS: Final = 200
_SHOWN_CHARS: Final = 60

_KEYS: Final[Mapping[str, kinds.Kind]] = {
    "title": kinds.text(most=_MAX_LINE_CHARS),
    "prompt": kinds.text(most=_MAX_PROMPT_CHARS),
    "negative_prompt": kinds.text(empty=True, most=_MAX_PROMPT_CHARS),
    "description": kinds.text(empty=True, most=_MAX_LINE_CHARS),
    "steps": kinds.whole(1, MAX_INFERENCE_STEPS),
    "guidance": kinds.number(0, MAX_GUIDANCE_SCALE),
    "sampler": kinds.sampler(),
}
_FIELDS: Final = {"steps": "num_inference_steps", "guidance": "guidance_scale"}
_COLUMNS: Final = ("name", "prompt", "negative_prompt")

# Where an entry stands, what it is called, its keys.
_Entry = tuple[str, str, Mapping[str, object]]


def read_styles(config: StylesConfig) -> dict[str, Style]:
    """The styles that there are, by name; raises ConfigError."""
    styles = _read(SHIPPED)
    for name in config.hide:
        if folded(name) not in styles:
            raise ConfigError(
                f"[styles] hide names {shown(name)}, and no such style comes with the bot."
                f"{did_you_mean(folded(name), styles)} Correct it."
            )
    hidden = set(map(folded, config.hide))
    styles = {name: style for name, style in styles.items() if name not in hidden}
    if config.file is not None:
        styles |= _read(config.file)
    if len(styles) > MAX_STYLES:
        raise ConfigError(
            f"There are {len(styles)} styles with those that come with the bot; {MAX_STYLES} are "
            f"the most. Leave some out of {_shown(config.file)}."
        )
    return styles


def _read(path: Path) -> dict[str, Style]:
    entries = _rows(path) if path.suffix.lower() == ".csv" else _tables(path)
    styles: dict[str, Style] = {}
    for place, called, keys in entries:
        style = _style(place, called, keys)
        if style.name in styles:
            raise ConfigError(
                f"{place}: there is another style of this name, for capitals, spaces and hyphens "
                "play no part. Rename one of them."
            )
        styles[style.name] = style
    return styles


def _tables(path: Path) -> Iterator[_Entry]:
    try:
        tables = tomllib.loads(_text(path))
    # tomllib gives up at brackets in brackets in brackets in a way of Python's own.
    except (ValueError, RecursionError) as error:
        raise ConfigError(
            f"{_shown(path)} is not valid TOML: {one_line(str(error), _PATH_CHARS)}. Correct it; "
            "a style or key may stand there once."
        ) from error
    for name, keys in tables.items():
        place = f"{_shown(path)}, style {one_line(name, _SHOWN_CHARS)}"
        if not isinstance(keys, dict):
            raise ConfigError(
                f"{place} must be a table, not {shown(keys)}. Write [name-of-the-style] above its "
                "keys."
            )
        yield place, name, keys


def _rows(path: Path) -> Iterator[_Entry]:
    # Of all that ends a line elsewhere only this one ends a row.
    reader = csv.DictReader(line + "\n" for line in _text(path).split("\n"))
    try:
        missing = [name for name in _COLUMNS[:2] if name not in (reader.fieldnames or ())]
        if missing:
            raise ConfigError(
                f"{_shown(path)}, line 1 has no column {' and no column '.join(missing)}. Write "
                f"{','.join(_COLUMNS)} there."
            )
        for row in reader:
            name = row["name"] or ""
            place = f"{_shown(path)}, line {reader.line_num}, style {one_line(name, _SHOWN_CHARS)}"
            if None in row:
                raise ConfigError(
                    f"{place} has more columns than line 1. Put texts with commas in quotes."
                )
            keys = {key: row[key] for key in _COLUMNS[1:] if (row.get(key) or "").strip()}
            if keys:
                yield place, name, keys
    except csv.Error as error:
        raise ConfigError(
            f"{_shown(path)} is no CSV after line {reader.line_num}: {error}. Correct it."
        ) from error


def _text(path: Path) -> str:
    file = _shown(path)
    try:
        with open_file(path) as opened:
            data = opened.read(_MAX_BYTES + 1)
    except FileNotFoundError:
        raise ConfigError(
            f"There is no file of styles {file}. Correct [styles] file, or leave it empty."
        ) from None
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"The styles {file} cannot be read: {reason(error)}. Check [styles] file and its "
            "permissions."
        ) from error
    if len(data) > _MAX_BYTES:
        raise ConfigError(
            f"The styles {file} are larger than {_MAX_BYTES // 1024} KB. Leave some out."
        )
    try:
        return data.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise ConfigError(f"The styles {file} are not UTF-8 text. Save them as UTF-8.") from error


def _style(place: str, called: str, keys: Mapping[str, object]) -> Style:
    name = folded(called)
    if not name or not name.isprintable() or len(name) > _MAX_NAME_CHARS or "," in name:
        raise ConfigError(
            f"{place}: a style's name has 1 to {_MAX_NAME_CHARS} characters, no comma. Rename it."
        )
    said: dict[str, Any] = {"title": one_line(" ".join(called.split()), _MAX_NAME_CHARS)}
    for key, value in keys.items():
        if key not in _KEYS:
            raise ConfigError(
                f"{place} has a key {one_line(key, _SHOWN_CHARS)} that does not exist."
                f"{did_you_mean(key, _KEYS)} Rename or delete it."
            )
        # Texts may go over several lines.
        plain = " ".join(value.split()) if isinstance(value, str) else value
        try:
            said[_FIELDS.get(key, key)] = _KEYS[key].read(plain)
        except (ValueError, OverflowError):
            raise ConfigError(
                f"{place}: {key} must be {_KEYS[key].expected}, not {shown(value, _SHOWN_CHARS)}. "
                "Correct it."
            ) from None
    try:
        prompt, tagged = loras.read_out(said.get("prompt", PLACE))
    except InvalidRequestError as error:
        raise ConfigError(f"{place}: {error}") from error
    return Style(name, **{**said, "prompt": prompt or PLACE}, loras=tagged)


def _shown(path: Path | None) -> str:
    return one_line(str(path), _PATH_CHARS)
