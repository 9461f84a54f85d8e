"""A ledger's way from one place to another, such as from a file into PostgreSQL."""

from bot.errors import LedgerError
from bot.ledgers.copying import Copied, Show, copy, is_empty
from bot.ledgers.records import Records


def move(source: Records, target: Records, show: Show) -> Copied:
    """Copy a ledger to where none is, or one with nothing in it; the source stays as it is.

    show  is told how many rows were read, of how many

    All or nothing: raises LedgerError, and nothing has changed.
    """
    if source.where == target.where:
        raise LedgerError(f"Both are {source.where}. Name two places.")
    if source.examine() is None:
        raise LedgerError(f"There is nothing to move: no bot has worked in {source.where}.")
    _check_idle(source)
    with source.whole() as here, target.filling() as there:
        if not is_empty(there):
            raise LedgerError(
                f"There is a ledger already in {target.where}. Name a place without one, or move "
                "that one away first."
            )
        copied = copy(here, there, show)
        _check_idle(source)  # what a bot writes from now on would be lost
    return copied


def _check_idle(source: Records) -> None:
    if source.is_in_use():
        raise LedgerError(f"A bot works with {source.where}. Stop it, and try again.")
