"""The command line: which commands there are, and what becomes of an error.

A command is a module beside this one. It is imported only when it is asked for, so that none waits
for what another needs.
"""

import argparse
import logging
import os
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any, Final, Protocol, cast

from bot.cli.arguments import Parser, add_config
from bot.cli.ending import Ending
from bot.cli.exit_codes import FAILED, WRONG_INPUT
from bot.errors import BotError, ConfigError, LoginError, NoRecipeError, OutputError, UsageError
from bot.shared.shown import one_line
from sdxl_engine import CredentialsError, EngineError, InvalidRequestError

log = logging.getLogger(__name__)

_NAME_CHARS: Final = 60
_SENTENCE_CHARS: Final = 600

COMMANDS: Final[Mapping[str, str]] = {
    "serve": "Run the bot until it is stopped (SIGTERM or Ctrl-C).",
    "playground": "Run the bot in a Discord, or Slack, of its own, on this machine alone.",
    "draw": "Draw without a bot.",
    "prompt": "Show how a model reads a text.",
    "recipe": "Show what a picture's file says of how it was drawn.",
    "check": "Say which marks of a generated picture a file bears.",
    "styles": "List the styles that prompts can be drawn in.",
    "filter": "Say which rules of the prompt filter a text meets.",
    "jobs": "Look at the jobs on record, cancel them, ask for them again.",
    "privacy": "Show, export or erase what is kept of one person.",
    "audit": "Say whether the audit is as it was written; list it, export it.",
    "backup": "Copy the ledger and the pictures while the bot runs.",
    "ledger": "Move the ledger into PostgreSQL, or back.",
    "models": "Say what the files of a folder are, and which can be drawn with.",
    "doctor": "Say what is right and wrong with this machine.",
    "slack": "Print what Slack is told of the app.",
}

_WRONG_INPUT_ERRORS: Final = (
    UsageError,
    ConfigError,
    CredentialsError,
    InvalidRequestError,
    LoginError,
    NoRecipeError,
    OutputError,
)


class Command(Protocol):
    """What the module of a command has."""

    def add_arguments(self, parser: Parser) -> None:
        """Describe what it takes, besides --config."""

    def run(self, args: argparse.Namespace) -> int:
        """Do it and return the exit code; raises BotError, EngineError.

        args.ending  is told of every engine that the command starts, or of the app that has it
        """


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; of the process' own words, end the process.

    0 done, 1 it failed, 2 what was asked or configured cannot be done.
    """
    ending = Ending()
    code = _run(sys.argv[1:] if argv is None else argv, ending)
    if argv is None:
        ending.leave(code)
    return code


def _run(words: Sequence[str], ending: Ending) -> int:
    try:
        args = _parsed(words)
        args.ending = ending
        code: int = args.run(args)
    except (BotError, EngineError) as error:
        log.debug("the trace", exc_info=True)
        _complain(str(error))
        return WRONG_INPUT if isinstance(error, _WRONG_INPUT_ERRORS) else FAILED
    except BrokenPipeError:  # whoever read our output has heard enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except Exception as error:  # the last place where it can become a sentence
        log.debug("the trace", exc_info=True)
        _complain(
            f"Something unexpected failed: {type(error).__name__}: {error}. "
            "IMAGINE_LOG__LEVEL=debug shows where."
        )
        return FAILED
    return code


def _parsed(words: Sequence[str]) -> argparse.Namespace:
    """The arguments, with `run` of the command that is meant; raises UsageError."""
    parser = Parser(
        prog="imagine",
        description="A bot for Discord and Slack that draws: /imagine in, four pictures out.",
        epilog="Every key of config.toml can be set as IMAGINE_<SECTION>__<KEY>; tokens only as "
        "DISCORD_TOKEN, SLACK_BOT_TOKEN, SLACK_APP_TOKEN and SLACK_SIGNING_SECRET.",
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="print it and end")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    first = words[0] if words else ""
    if first.startswith("-") and first not in {"-h", "--help", "--version"}:
        raise UsageError(
            f"`imagine` has no option {one_line(first, _NAME_CHARS)}. A command comes first, such "
            "as `imagine draw`, and its options after it."
        )
    for name, about in COMMANDS.items():
        command = commands.add_parser(name, help=about, description=about)
        if name == first:
            module = cast("Command", import_module(f"bot.cli.{name}"))
            add_config(command)
            module.add_arguments(command)
            command.set_defaults(run=module.run)
    return parser.parse_args(words)


class _Version(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:  # noqa: ANN401 - as argparse's own
        from importlib.metadata import version  # noqa: PLC0415 - a tenth of a start, for this alone

        sys.stdout.write(version("imagine-bot") + "\n")
        parser.exit()


def _complain(sentence: str) -> None:
    # Whatever somebody typed that came to stand in it: it stays one line of text.
    sys.stderr.write(f"imagine: {one_line(sentence, _SENTENCE_CHARS)}\n")
