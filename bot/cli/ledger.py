"""`imagine ledger`: moves the ledger from one place to another."""

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Final

from bot.cli.arguments import add_config, path
from bot.cli.exit_codes import OK
from bot.cli.progress import ProgressBar
from bot.config import kinds
from bot.config.reading import load_config
from bot.ledgers.copying import Copied
from bot.ledgers.moving import move
from bot.ledgers.records import records_of
from bot.operations import log as logs
from bot.shared.data_folder import IMAGES, LEDGER

_DATABASE: Final = kinds.database()
_ABOUT: Final = (
    "Copy the whole ledger to where there is none yet, whole or not at all, while no bot works "
    "with either; each row is read back before it counts. The old one stays as it is. Pictures are "
    "not moved: they stay where they are kept."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe what `run` understands."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    moving = actions.add_parser(
        "move", help="from a folder to PostgreSQL, or back", description=_ABOUT
    )
    place = "a storage folder, or postgresql://USER@HOST/DATABASE"
    moving.add_argument("source", type=_place, metavar="SOURCE", help=f"where it is: {place}")
    moving.add_argument("target", type=_place, metavar="TARGET", help="where it shall be, likewise")
    add_config(moving, default=argparse.SUPPRESS)


def _place(text: str) -> Path | str:
    """The type of an argument that is a folder or a database's address."""
    if "://" not in text:
        return path(text)
    try:
        return str(_DATABASE.read(text))
    except ValueError:  # it is not repeated: a password may be in it
        raise argparse.ArgumentTypeError(f"an address must be {kinds.DATABASE_ADDRESS}") from None


def run(args: argparse.Namespace) -> int:
    """Move it, and say what was moved and what comes next; raises BotError."""
    config = load_config(args.config, os.environ)
    logs.set_up(config.log.level, as_json=config.log.format == "json")
    source, target = (
        records_of(one, "") if isinstance(one, Path) else records_of(Path(), one)
        for one in (args.source, args.target)
    )
    with ProgressBar("the ledger", "rows") as bar:
        copied = move(source, target, bar.show)
    sys.stdout.write(f"Copied from {source.where} to {target.where}, and read back:\n")
    sys.stdout.write(_told(copied, args.source, args.target))
    return OK


def _told(copied: Copied, source: Path | str, target: Path | str) -> str:
    lines = [f"  {table:<12} {rows:>12,}" for table, rows in copied.rows.items() if rows]
    if copied.replaced:
        lines.append(
            f"In {copied.replaced} texts the character NUL, for which PostgreSQL has no sign, is "
            "another one now: U+FFFD."
        )
    if isinstance(target, Path):
        said = f'folder = {json.dumps(str(target), ensure_ascii=False)} and database = ""'
        pictures = f"the bot looks in {target / IMAGES}, or where [storage] pictures says."
    else:
        said = f"database = {json.dumps(target)}"
        pictures = "leave [storage] folder and pictures as they are."
    old = "that database" if isinstance(source, str) else source / LEDGER
    lines += [
        f"Set {said} in the section [storage] of config.toml, and start the bot.",
        f"Pictures were not moved: {pictures}",
        f"What {old} holds stays there, prompts as well, which no bot deletes any more.",
    ]
    return "\n".join(lines) + "\n"
