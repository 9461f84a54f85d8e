"""What SQLite complains of, in sentences: for who asks, and for who runs the bot."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from bot.errors import LedgerError, LedgerLostError
from bot.ledgers.trouble import DAMAGED, LOCKED
from bot.shared.sqlite_trouble import Trouble, trouble_of
from sdxl_engine.sentence import say

_FOR_PEOPLE: Final = {
    Trouble.DISK: say(
        "The bot's disk is full or cannot be written. Tell the bot's owner, and ask again later."
    ),
    Trouble.LOCKED: LOCKED,
    Trouble.DAMAGED: DAMAGED,
}
_UNREAD: Final = say("The bot's records cannot be read from its disk. Ask again later.")


def for_people(error: Exception, *, reading: bool = False) -> LedgerError:
    """What who asks reads of an error in a running bot."""
    trouble = trouble_of(error)
    if reading and trouble is Trouble.DISK:
        return LedgerError(_UNREAD)
    return LedgerError(_FOR_PEOPLE[trouble])


def for_operator(error: Exception, path: Path) -> LedgerError:
    """What who runs the bot reads of an error with the ledger's file at `path`."""
    match trouble_of(error):
        case Trouble.DISK:
            return LedgerError(
                f"The ledger {path} cannot be opened ({error}). Check its folder's permissions and "
                "free space, or [storage] folder."
            )
        case Trouble.LOCKED:
            return LedgerError(
                f"The ledger {path} cannot be opened: another program holds it locked ({error}). "
                "Close that, such as an SQLite shell or a tool that copies files, and try again."
            )
        case Trouble.DAMAGED:
            return LedgerLostError(
                f"The ledger {path} cannot be opened: it is damaged ({error}).", mend(path)
            )


def mend(path: Path) -> str:
    """What to do where the ledger is lost or damaged."""
    return (
        "Stop the bot, put your newest backup in the place of the whole folder "
        f"{path.parent.resolve()}, and start again. Without a backup, start once with "
        "--start-empty: what is left is put aside, and nothing is deleted."
    )


@contextmanager
def in_words(path: Path) -> Iterator[None]:
    """Raise every error of SQLite's inside as the LedgerError that says it to who runs the bot."""
    try:
        yield
    except sqlite3.Error as error:
        raise for_operator(error, path) from error
