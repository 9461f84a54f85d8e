"""What PostgreSQL complains of: whose fault it is, and in sentences."""

from enum import Enum, auto
from typing import Final

import psycopg

from bot.errors import LedgerError
from bot.ledgers.trouble import DAMAGED, LOCKED
from sdxl_engine.sentence import say


class Trouble(Enum):
    """Whose fault it is."""

    AWAY = auto()  # the server, or the way to it: the same may succeed in a moment
    FULL = auto()  # its disk is, or it may only be read
    LOCKED = auto()  # somebody else writes, and does not end
    OURS = auto()  # what was asked for breaks a rule of the tables
    DAMAGED = auto()  # the records themselves, or they are not ours


# The first characters of PostgreSQL's SQLSTATE (its manual, appendix A); the longest counts.
_CODES: Final = {
    "08": Trouble.AWAY,  # connection
    "57P": Trouble.AWAY,  # it shuts down, starts, or has ended this connection
    "57014": Trouble.LOCKED,  # too long for one statement
    "25P": Trouble.AWAY,  # it has ended a transaction that idled
    "40": Trouble.AWAY,  # rolled back for another's sake
    "53": Trouble.AWAY,  # too many connections, no memory
    "531": Trouble.FULL,
    "42501": Trouble.FULL,  # no right to it
    "54": Trouble.OURS,  # more than any statement may be
    "25006": Trouble.FULL,  # a standby, or one that was made read-only
    "58": Trouble.FULL,  # its system's error
    "55P03": Trouble.LOCKED,
    "22": Trouble.OURS,  # a value that no column takes
    "23": Trouble.OURS,
}

_FOR_PEOPLE: Final = {
    Trouble.AWAY: say(
        "The bot's records cannot be reached now. Ask again in a minute; if it stays so, tell the "
        "bot's owner."
    ),
    Trouble.FULL: say(
        "The bot's records cannot be written. Tell the bot's owner, and ask again later."
    ),
    Trouble.LOCKED: LOCKED,
    Trouble.DAMAGED: DAMAGED,
}


def trouble_of(error: psycopg.Error) -> Trouble:
    """Whose fault an error of PostgreSQL's is."""
    code = error.sqlstate
    if code is None:  # no answer of the server's: the connection broke, or never was
        return Trouble.AWAY if isinstance(error, psycopg.OperationalError) else Trouble.OURS
    for length in (5, 3, 2):
        if code[:length] in _CODES:
            return _CODES[code[:length]]
    return Trouble.DAMAGED


def for_people(error: psycopg.Error) -> LedgerError:
    """What who asks reads of an error in a running bot."""
    return LedgerError(_FOR_PEOPLE.get(trouble_of(error), DAMAGED))


def for_operator(error: psycopg.Error, where: str) -> LedgerError:
    """What who runs the bot reads of an error with a database."""
    why = " ".join(str(error).split())
    match trouble_of(error):
        case Trouble.AWAY:
            mend = (
                "See that the server runs, that [storage] database has its address, and PGPASSWORD "
                "or a password file the password"
            )
        case Trouble.FULL:
            mend = "Make room, or name a server that may be written"
        case Trouble.LOCKED:
            mend = "Another program holds it locked: end that, and try again"
        case _:
            mend = "Is it the bot's database, and the account its owner"
    return LedgerError(f"The ledger in {where} cannot be used ({why}). {mend}.")
