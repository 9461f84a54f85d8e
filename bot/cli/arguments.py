"""What the arguments of all commands have in common: how they are read, and what is said of wrong
ones.
"""

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, NoReturn

from bot.errors import UsageError
from bot.shared.files import can_be_path
from bot.shared.nearest import did_you_mean
from bot.shared.shown import one_line, shown

_NAME_CHARS: Final = 60
_MAX_DIGITS: Final = 1_000  # far beyond every number that is asked for, and what Python reads


class Parser(argparse.ArgumentParser):
    """Reads arguments; what is wrong is one sentence that ends with what to do.

    hints  what to say of options that are none here, and belong elsewhere, by their names

    Raises UsageError where argparse would print its usage and end the process.
    """

    hints: Mapping[str, str] = MappingProxyType({})

    def error(self, message: str) -> NoReturn:
        """Raise what argparse found."""
        said = message.removeprefix("argument ")
        end = "" if said.endswith((".", "?")) else "."
        raise UsageError(
            f"{said[:1].upper()}{said[1:]}{end} `{self.prog} --help` shows what there is."
        )

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:  # noqa: ANN401 - as argparse's own
        """As argparse, but nothing unknown is passed on: whose option it is not is known here."""
        parsed, unknown = super().parse_known_args(args, namespace)
        for word in unknown:
            if word.startswith("-"):
                name = one_line(word.partition("=")[0], _NAME_CHARS)
                guess = self.hints.get(name) or self._guess(name)
                raise UsageError(f"`{self.prog}` has no option {name}.{guess}")
        if unknown:
            raise UsageError(
                f"`{self.prog}` takes no {shown(unknown[0])}. Leave it out, or put quotes around a "
                "text of several words."
            )
        return parsed, unknown

    def _guess(self, name: str) -> str:
        options = [option for option in self._option_string_actions if option[:2] == "--"]
        return did_you_mean(name, options) or f" `{self.prog} --help` shows what there is."

    def _check_value(self, action: argparse.Action, value: Any) -> None:  # noqa: ANN401 - as above
        if action.choices is not None and value not in action.choices:
            guess = did_you_mean(str(value), [str(choice) for choice in action.choices])
            raise argparse.ArgumentError(action, f"there is no {shown(str(value))}.{guess}")


def add_config(parser: argparse.ArgumentParser, default: Any = None) -> None:  # noqa: ANN401 - as argparse's own
    """Add --config."""
    parser.add_argument(
        "--config",
        type=Path,
        default=default,
        metavar="PATH",
        help="a config.toml; default: ./config.toml",
    )


def add_start_empty(parser: argparse.ArgumentParser) -> None:
    """Add --start-empty."""
    parser.add_argument(
        "--start-empty",
        action="store_true",
        help="if the ledger is lost or damaged, put what is left aside and begin with an empty one",
    )


def whole(low: int | None = None, high: int | None = None) -> Callable[[str], int]:
    """The type of an argument that is a whole number, between these where they are given."""

    def read(text: str) -> int:
        if len(text) > _MAX_DIGITS:
            raise argparse.ArgumentTypeError(f"{shown(text)} is far too long for a number")
        try:
            number = int(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{shown(text)} is not a whole number") from None
        if low is not None and number < low:
            raise argparse.ArgumentTypeError(f"it must be at least {low}, not {shown(text)}")
        if high is not None and number > high:
            raise argparse.ArgumentTypeError(f"it must be at most {high:,}, not {shown(text)}")
        return number

    return read


def path(text: str) -> Path:
    """The type of an argument that is a path, which a file system can hold."""
    if not can_be_path(text):
        raise argparse.ArgumentTypeError(f"{shown(text)} is longer than any path, or none at all")
    return Path(text)


def real(text: str) -> float:
    """The type of an argument that is a number."""
    if len(text) > _MAX_DIGITS:
        raise argparse.ArgumentTypeError(f"{shown(text)} is far too long for a number")
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{shown(text)} is not a number") from None
