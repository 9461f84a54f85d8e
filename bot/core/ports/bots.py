"""The bots that share one ledger, as one of them sees them."""

from typing import Protocol


class Bots(Protocol):
    """All of them: which parts of the work are this one's."""

    @property
    def is_chief(self) -> bool:
        """Whether this one does what one of them must do."""

    async def claim_range(self, kind: str, total: int) -> int | None:
        """Which of `total` parts of something is this bot's; None: none is free now.

        kind  of what; whoever counts its parts otherwise gets none while others have some

        It stays this bot's until its process ends, however often it asks. Raises LedgerError.
        """
