"""`imagine audit`: whether the audit is as it was written, and what stands in it.

Reads the ledger, beside a running bot too.
"""

import argparse
import os
import re
import sys
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Final, get_args

from bot.cli.arguments import add_config, path, whole
from bot.cli.exit_codes import FAILED, OK
from bot.config.reading import load_config
from bot.core import audit_file
from bot.core.audit import Entry, first_broken
from bot.errors import OutputError
from bot.ledgers import registry_book
from bot.ledgers.database import Connection
from bot.ledgers.records import records_of
from bot.operations import log as logs
from bot.shared.private import make_file
from bot.shared.shown import one_line, shown

_AT_ONCE: Final = 1_000
_MAX_LISTED: Final = 1_000_000
_REASON_CHARS: Final = 60
_HASH: Final = re.compile("[0-9a-f]{64}")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe what `run` understands."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    verifying = actions.add_parser("verify", help="whether every entry is as it was written")
    verifying.add_argument(
        "--expect",
        type=_hash,
        metavar="HASH",
        help="of an entry, kept elsewhere since an earlier look: it must be there still",
    )
    listing = actions.add_parser("list", help="the latest entries, the newest first")
    listing.add_argument(
        "--limit",
        type=whole(1, _MAX_LISTED),
        default=20,
        metavar="N",
        help="how many at most; default: 20",
    )
    exporting = actions.add_parser("export", help="all entries, the oldest first")
    exporting.add_argument("--format", choices=get_args(audit_file.Format), default="csv")
    exporting.add_argument(
        "--out", type=path, metavar="FILE", help="is made, must not be there yet; else it prints"
    )
    for action in (listing, exporting):
        action.add_argument("--home", metavar="NAME", help="of this home alone, such as discord")
        action.add_argument("--community", metavar="ID", help="of this server alone")
    for action in (verifying, listing, exporting):
        add_config(action, default=argparse.SUPPRESS)


def _hash(text: str) -> str:
    if not _HASH.fullmatch(text.lower()):
        raise argparse.ArgumentTypeError(f"{shown(text)} is no hash of 64 letters and digits")
    return text.lower()


def run(args: argparse.Namespace) -> int:
    """Do what was asked with the bot's records; raises BotError."""
    config = load_config(args.config, os.environ)
    logs.set_up(config.log.level, as_json=config.log.format == "json")
    records = records_of(config.storage.folder, config.storage.database)
    with records.reading() as connection:
        if args.action == "verify":
            return _verify(connection, args.expect)
        entries = (
            one
            for one in _entries(connection)
            if args.home in {None, one.home} and args.community in {None, one.community}
        )
        if args.action == "list":
            _list(list(entries)[-args.limit :])
        else:
            _export(entries, args)
    return OK


def _entries(connection: Connection) -> Iterator[Entry]:
    """All of them in order, a batch read at a time."""
    last: int | None = None  # somebody may have put one before the first
    while batch := registry_book.chain(connection, last, limit=_AT_ONCE):
        yield from batch
        last = batch[-1].number


def _verify(connection: Connection, expected: str | None) -> int:
    """Say whether the chain holds, and end with 0 if it does."""
    last: Entry | None = None
    is_there = expected is None

    def seen() -> Iterator[Entry]:
        nonlocal last, is_there
        for last in _entries(connection):
            is_there |= last.hash == expected
            yield last

    broken = first_broken(seen())
    if broken is not None:
        sys.stdout.write(
            f"The audit was changed: entry {broken} is not what was written there. What stands "
            f"before it is. Compare it with a copy of the ledger.\n"
        )
        return FAILED
    if not is_there:
        sys.stdout.write(
            "The audit was cut: no entry has the hash that you expect, though those that are there "
            "are right. Compare it with a copy of the ledger.\n"
        )
        return FAILED
    if last is None:
        sys.stdout.write("The audit is empty: nothing was done yet.\n")
        return OK
    sys.stdout.write(
        f"All {last.number} entries are as they were written. The last is number {last.number}, "
        f"of {_at(last.at_s)} UTC, with the hash\n{last.hash}\nKeep it elsewhere: with --expect it "
        "shows next time that none was cut off.\n"
    )
    return OK


def _list(entries: list[Entry]) -> None:
    if not entries:
        sys.stdout.write("There are no such entries.\n")
        return
    sys.stdout.write(f"{'NUMBER':>6}  {'AT (UTC)':<19}  {'DEED':<8} {'BY':<20} {'TO':<20} WHY\n")
    for one in reversed(entries):
        why = one_line(one.reason, _REASON_CHARS)
        line = f"{one.number:>6}  {_at(one.at_s)}  {one.kind:<8} {one.actor:<20} {one.target:<20} "
        sys.stdout.write(f"{(line + why).rstrip()}\n")


def _export(entries: Iterable[Entry], args: argparse.Namespace) -> None:
    lines = audit_file.written(entries, args.format)
    if args.out is None:
        sys.stdout.writelines(lines)
        return
    try:
        with os.fdopen(make_file(args.out), "w", encoding="utf-8", newline="") as file:
            file.writelines(lines)
    except FileExistsError as error:
        raise OutputError(f"{args.out} is there already. Name another file.") from error
    except OSError as error:
        raise OutputError(f"{args.out} cannot be written ({error.strerror}). Make room.") from error


def _at(at_s: float) -> str:
    return datetime.fromtimestamp(at_s, UTC).isoformat(sep=" ", timespec="seconds")[:19]
