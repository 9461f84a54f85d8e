"""Lists of terms in files: the starter list that comes with the bot, and an owner's own.

A `.toml` has a table a category, as bot/data/filter/starter.toml. Any other file is plain text, a
term a line, which may say what is done about it: `review: gore`, `exception: al gore`.
"""

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Final

from bot.core.verdict import MEASURES, Measure, Term, TermKind
from bot.errors import ConfigError
from bot.moderation.characters import DATA
from bot.moderation.prompt_filter import ListFilter, check_wordings
from bot.shared.nearest import did_you_mean, nearest
from bot.shared.shown import one_line, shown
from sdxl_engine.errors import InvalidRequestError

Lists = dict[str, tuple[Term, ...]]

_STARTER_NAME: Final = "starter list"
STARTER: Final = DATA / "starter.toml"
MAX_TERMS: Final = 20_000
_MAX_BYTES: Final = 2**21
_PATH_CHARS: Final = 200
_SHOWN_CHARS: Final = 60
_KEYS: Final = ("measure", "terms", "regexes", "all")
_LINE_KINDS: Final[Mapping[str, TermKind]] = {"exception": "exception", "regex": "regex"}


def owners_lists(file: Path | None, *, starter: bool) -> Lists:
    """The lists of whoever runs the bot, by what they are called; raises ConfigError.

    file     one of their own
    starter  whether the one that comes with the bot is one of them
    """
    lists: Lists = {}
    if starter:
        lists[_STARTER_NAME] = _starters()
    if file is not None:
        lists[_shown(file)] = read_terms(file)
    return lists


@cache
def _starters() -> tuple[Term, ...]:
    """Those of the starter list, which a process reads once."""
    return read_terms(STARTER)


def read_terms(path: Path) -> tuple[Term, ...]:
    """The terms of a file, each checked; raises ConfigError, which names the file and the place."""
    text = _text(path)
    places = _tables(path, text) if path.suffix.lower() == ".toml" else _lines(path, text)
    checks = ListFilter()
    terms: dict[Term, None] = {}
    for place, term, is_whole in places:
        try:
            terms[checks.checked(term) if is_whole else _checked_in_parts(checks, term)] = None
        except InvalidRequestError as error:
            raise ConfigError(f"{place}: {error}") from error
    if len(terms) > MAX_TERMS:
        raise ConfigError(
            f"{_shown(path)} has {len(terms):,} terms; {MAX_TERMS:,} are the most. Leave some out."
        )
    return tuple(terms)


def _checked_in_parts(checks: ListFilter, term: Term) -> Term:
    """A term of many words of which each is as long as a term may be."""
    check_wordings(term)
    category = term.category
    for part in term.text.split(" & "):
        for words in part.split(" | "):
            category = checks.checked(Term(words, category=term.category)).category
    return replace(term, category=category)


# Where a term stands, the term, whether it is one of usual length.
_Place = tuple[str, Term, bool]


def _tables(path: Path, text: str) -> Iterator[_Place]:
    try:
        tables = tomllib.loads(text)
    # tomllib gives up at brackets in brackets in brackets in a way of Python's own.
    except (ValueError, RecursionError) as error:
        raise ConfigError(
            f"{_shown(path)} is not valid TOML: {one_line(str(error), _PATH_CHARS)}. Correct it; "
            "a category or key may stand there once."
        ) from error
    place = f"{_shown(path)}, exceptions"
    for words in _texts(place, tables.pop("exceptions", [])):
        yield place, Term(words, "exception"), " & " not in words
    for category, keys in tables.items():
        place = f"{_shown(path)}, [{one_line(category, _SHOWN_CHARS)}]"
        if not isinstance(keys, dict):
            raise ConfigError(
                f"{place} must be a table, not {shown(keys, _SHOWN_CHARS)}. Write [category] above "
                "its keys."
            )
        for key in keys:
            if key not in _KEYS:
                raise ConfigError(
                    f"{place} has a key {one_line(key, _SHOWN_CHARS)} that does not exist."
                    f"{did_you_mean(key, _KEYS)} Rename or delete it."
                )
        measure = _measure(place, keys.get("measure", "block"))
        for words in _texts(place, keys.get("terms", [])):
            yield place, Term(words, "word", measure, category), " & " not in words
        for words in _texts(place, keys.get("regexes", [])):
            yield place, Term(words, "regex", measure, category), True
        if parts := keys.get("all", []):
            if not isinstance(parts, list):
                raise ConfigError(f"{place}: all must be a list of lists of words. Correct it.")
            alternatives = (" | ".join(_texts(place, part)) for part in parts)
            yield place, Term(" & ".join(alternatives), "word", measure, category), False


def _lines(path: Path, text: str) -> Iterator[_Place]:
    for number, line in enumerate(text.split("\n"), start=1):
        place = f"{_shown(path)}, line {number}"
        said = line.strip()
        if not said or said.startswith("#"):
            continue
        start, colon, rest = said.partition(":")
        word = start.strip().lower()
        if colon and word in MEASURES:
            yield place, Term(rest.strip(), measure=_measure(place, word)), True
        elif colon and word in _LINE_KINDS:
            yield place, Term(rest.strip(), _LINE_KINDS[word]), True
        elif colon and (meant := nearest(word, (*MEASURES, *_LINE_KINDS))) is not None:
            raise ConfigError(
                f"{place} begins with {shown(start, _SHOWN_CHARS)}, which says nothing of what is "
                f"done. Did you mean {meant}? If it is a part of the term, leave the colon out."
            )
        else:
            yield place, Term(said), True


def _measure(place: str, value: object) -> Measure:
    if value not in MEASURES:
        raise ConfigError(
            f"{place}: measure must be one of {', '.join(MEASURES)}, not "
            f"{shown(value, _SHOWN_CHARS)}. Correct it."
        )
    return value


def _texts(place: str, value: object) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise ConfigError(
            f"{place} must hold lists of texts, not {shown(value, _SHOWN_CHARS)}. Correct it."
        )
    return value


def _text(path: Path) -> str:
    file = _shown(path)
    try:
        if not path.is_file() and path.exists():
            raise ConfigError(f"The list of terms {file} is no file. Correct [filter] file.")
        with path.open("rb") as opened:
            data = opened.read(_MAX_BYTES + 1)
    except FileNotFoundError:
        raise ConfigError(
            f"There is no list of terms {file}. Correct [filter] file, or leave it empty."
        ) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ConfigError(
            f"The list of terms {file} cannot be read: {one_line(reason, _PATH_CHARS)}. Check "
            "[filter] file and its permissions."
        ) from error
    if len(data) > _MAX_BYTES:
        raise ConfigError(
            f"The list of terms {file} is larger than {_MAX_BYTES // 2**20} MB. Leave some out."
        )
    try:
        return data.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"The list of terms {file} is not UTF-8 text. Save it as UTF-8."
        ) from error


def _shown(path: Path) -> str:
    return one_line(str(path), _PATH_CHARS)
