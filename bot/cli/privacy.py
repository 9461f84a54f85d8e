"""`imagine privacy`: what is kept of one person, for whoever runs the bot.

Looking and exporting read the ledger, beside a running bot too. To erase, the bot must not
run: a running one does it itself, when the person asks it to.
"""

import argparse
import asyncio
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile

from bot.cli.arguments import add_config, path
from bot.cli.exit_codes import OK
from bot.config.reading import load_config
from bot.config.sections import StorageConfig
from bot.core.job import Person, Record
from bot.core.kept import Kept
from bot.core.privacy import NOT_ERASED, Privacy, erased_sentences, files_of, kept_sentences
from bot.errors import GalleryError, LedgerError, OutputError, UsageError
from bot.ledgers import privacy_book
from bot.ledgers.ledger import DatabaseLedger
from bot.ledgers.records import Records, records_of
from bot.ledgers.registry import DatabaseRegistry
from bot.operations import log as logs
from bot.shared.private import make_file
from bot.shared.shown import shown
from sdxl_engine.request import ImageRequest, ModelCard

if TYPE_CHECKING:
    from bot.gallery.gallery import ObjectGallery

_MAX_ID_CHARS: Final = 100
_EXPORT: Final = Path("privacy.zip")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe what `run` understands."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    showing = actions.add_parser("show", help="how much there is, and how long it is kept")
    exporting = actions.add_parser("export", help="all of it, as a ZIP file")
    exporting.add_argument(
        "--out",
        type=path,
        default=_EXPORT,
        metavar="FILE",
        help=f"is made, must not be there yet; default: {_EXPORT}",
    )
    erasing = actions.add_parser("erase", help="all but ids and times, for good; the bot stopped")
    erasing.add_argument("--yes", action="store_true", help="do not ask whether it is meant")
    for action in (showing, exporting, erasing):
        action.add_argument(
            "--home", type=_known_as, default="discord", metavar="NAME", help="default: discord"
        )
        action.add_argument("person", type=_known_as, metavar="PERSON", help="their id there")
        add_config(action, default=argparse.SUPPRESS)


def _known_as(text: str) -> str:
    if not 0 < len(text) <= _MAX_ID_CHARS or not text.isprintable():
        raise argparse.ArgumentTypeError(f"{shown(text)} is no id")
    return text


def run(args: argparse.Namespace) -> int:
    """Do what was asked with the bot's records; raises BotError."""
    config = load_config(args.config, os.environ)
    logs.set_up(config.log.level, as_json=config.log.format == "json")
    storage = config.storage
    person = Person(args.home, args.person)
    records = records_of(storage.folder, storage.database)
    if records.examine() is None:
        raise LedgerError(f"Nothing is kept of anybody: no bot has worked in {records.where}.")
    match args.action:
        case "show":
            _say(_shown(records, person, storage.keep_days))
        case "export":
            _say(_export(records, storage, person, args.out))
        case _:
            _say(asyncio.run(_erase(records, storage, person, agreed=args.yes)))
    return OK


def _shown(records: Records, person: Person, keep_days: int) -> str:
    with records.reading() as connection:
        kept = privacy_book.kept(connection, person)
    if kept == Kept():
        return _nothing_of(person)
    return "\n".join(kept_sentences(kept, keep_days))


def _export(records: Records, storage: StorageConfig, person: Person, out: Path) -> str:
    with records.reading() as connection:
        if privacy_book.kept(connection, person) == Kept():
            return _nothing_of(person)
        stored = privacy_book.stored(connection, person)
    gallery = _gallery(storage)
    try:
        with os.fdopen(make_file(out), "wb") as file:
            count = asyncio.run(_pack(file, files_of(stored, gallery)))
    except FileExistsError as error:
        raise OutputError(f"{out} is there already. Name another with --out.") from error
    except GalleryError:
        out.unlink(missing_ok=True)
        raise
    except OSError as error:
        out.unlink(missing_ok=True)
        raise OutputError(f"{out} cannot be written ({error.strerror}). Make room.") from error
    finally:
        gallery.close()
    return f"Wrote {count} files to {out}."


async def _pack(file: BinaryIO, files: AsyncIterator[tuple[str, bytes]]) -> int:
    with ZipFile(file, "w") as archive:
        async for name, data in files:
            is_picture = name.startswith("pictures/")
            archive.writestr(name, data, ZIP_STORED if is_picture else ZIP_DEFLATED)
    return len(archive.namelist())


async def _erase(records: Records, storage: StorageConfig, person: Person, *, agreed: bool) -> str:
    keep_days = storage.keep_days
    if records.is_in_use():
        raise LedgerError(
            "The bot is running, and does this itself: the person types /privacy erase. Or stop "
            "the bot first."
        )
    ledger = DatabaseLedger(records.database())
    gallery = _gallery(storage)
    ledger.open()
    try:
        registry, nobody = DatabaseRegistry(ledger.database), _Nobody()
        privacy = Privacy(ledger, registry, gallery, nobody, nobody, keep_days=keep_days)
        kept = await privacy.kept(person)
        if kept == Kept():
            return _nothing_of(person)
        if not agreed:
            _agree(kept, person, keep_days)
        emptied = await privacy.erase(person)
    finally:
        gallery.close()
        ledger.close()
    later = "What its messages show follows when the bot starts again."
    return "\n".join((*erased_sentences(emptied, keep_days), later))


def _agree(kept: Kept, person: Person, keep_days: int) -> None:
    """Raise UsageError where it was not meant."""
    lines = kept_sentences(kept, keep_days)
    sys.stderr.write(f"Of {shown(person.id)} in {shown(person.home)}:\n")
    sys.stderr.write("".join(f"    {one}\n" for one in lines))
    if not sys.stdin.isatty():
        raise UsageError("Say --yes to have all of it erased, for good.")
    sys.stderr.write("Erase all of it, for good? [y/N] ")
    if sys.stdin.readline().strip().casefold() not in {"y", "yes"}:
        raise UsageError(NOT_ERASED)


class _Nobody:
    """No bot runs: the next one tells people, and changes cards and desks."""

    def withdraw(self, _record: Record, /) -> None:
        return

    def wake(self) -> None:
        return


def _gallery(storage: StorageConfig) -> "ObjectGallery":
    # Here and not above: --help waits for no pixels.
    from bot.gallery.gallery import ObjectGallery  # noqa: PLC0415
    from bot.gallery.opening import objects_at  # noqa: PLC0415

    return ObjectGallery(objects_at(storage.pictures, storage.folder), _no_card)


def _no_card(_: ImageRequest) -> ModelCard:
    raise NotImplementedError  # nothing is drawn here


def _nothing_of(person: Person) -> str:
    return f"Nothing is kept of {shown(person.id)} in {shown(person.home)}."


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
