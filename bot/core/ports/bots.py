"""The bots that share one ledger, as one of them sees them."""

from typing import Protocol


class Bots(Protocol):
    """All of them: which parts of the work are this one's."""

    @property
    def is_chief(self) -> bool:
        """Whether this one does what one of them must do."""

    async def claim_range(self, kind: str, count: int) -> int | None:
        """Which of `count` parts of something is this bot's; None: none is free now.

        kind  of what; whoever counts its parts otherwise gets none while others have some

        It stays this bot's until its process ends, however often it asks. Raises LedgerError.
        """


class OneBot:
    """Implements `Bots` where there is no other: the first part is enough for it."""

    is_chief = True

    async def claim_range(self, kind: str, count: int) -> int | None:  # noqa: ARG002 - all is its own
        """See `Bots`."""
        return 0
