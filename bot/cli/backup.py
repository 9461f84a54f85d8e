"""`imagine backup`: a copy of the records and pictures, while the bot runs."""

import argparse
import os
import sys

from bot.cli.arguments import path
from bot.cli.exit_codes import OK
from bot.config.reading import load_config
from bot.errors import LedgerError
from bot.ledgers.records import records_of
from bot.ledgers.sqlite.trouble import in_words
from bot.operations import log as logs
from bot.operations.backup import backup
from bot.shared.data_folder import LEDGER


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe what `run` understands."""
    parser.add_argument("folder", type=path, metavar="DIR", help="is made; must not be there yet")


def run(args: argparse.Namespace) -> int:
    """Copy, and say what was copied; raises BotError."""
    config = load_config(args.config, os.environ)
    logs.set_up(config.log.level, as_json=config.log.format == "json")
    folder = config.storage.folder
    records = records_of(folder, config.storage.database)
    if records.examine() is None:
        raise LedgerError(f"There is nothing to copy: no bot has worked in {records.where}.")
    with in_words(folder / LEDGER):
        sys.stdout.write(backup(folder, args.folder, records.copy_to) + "\n")
    if config.storage.pictures is not None:
        sys.stdout.write(
            f"No picture of {config.storage.pictures} is among them: copy that place as well, by "
            "its own means.\n"
        )
    return OK
