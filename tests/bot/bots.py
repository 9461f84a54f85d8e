"""Bots that share parts of their work in this process, as those of one PostgreSQL do."""

from bot.errors import LedgerError


class Together:
    """Who has which part, and who is chief."""

    def __init__(self) -> None:
        self.chief: OneOfThem | None = None
        self.is_away = False  # whether the ledger cannot be asked
        self.asked = 0
        self._taken: dict[int, OneOfThem] = {}

    def bot(self) -> "OneOfThem":
        """One more; the first is chief."""
        bot = OneOfThem(self)
        self.chief = self.chief or bot
        return bot

    def claim(self, bot: "OneOfThem", count: int) -> int | None:
        self.asked += 1
        if self.is_away:
            raise LedgerError("The ledger cannot be reached.")
        for index in range(count):
            if self._taken.setdefault(index, bot) is bot:
                return index
        return None

    def ended(self, bot: "OneOfThem") -> None:
        """Its process is over, and another is chief."""
        self._taken = {index: one for index, one in self._taken.items() if one is not bot}


class OneOfThem:
    """Implements `Bots`."""

    def __init__(self, together: Together) -> None:
        self._together = together

    @property
    def is_chief(self) -> bool:
        return self._together.chief is self

    async def claim_range(self, kind: str, total: int) -> int | None:
        assert kind == "discord"
        return self._together.claim(self, total)

    def end(self) -> None:
        """Let go of all, as a process that ends."""
        self._together.ended(self)


class OneBot:
    """Implements `Bots` where there is no other."""

    is_chief = True

    async def claim_range(self, kind: str, total: int) -> int | None:
        """See `Bots`."""
        return 0
