"""What reads prompts, as the core sees it."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from bot.core.verdict import Finding, Term


class PromptFilter(Protocol):
    """Finds what is on its lists, however it is disguised."""

    def findings(self, texts: Mapping[str, str], terms: Sequence[Term] = ()) -> tuple[Finding, ...]:
        """What texts say that a rule names; quick enough for the event loop.

        texts  by where they come from, such as "prompt"
        terms  a community's own, beside the owner's lists
        """

    def checked(self, term: Term) -> Term:
        """A term as a list can hold it; raises InvalidRequestError for one that none can."""
