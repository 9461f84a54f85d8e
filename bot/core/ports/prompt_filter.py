"""What reads prompts, as the core sees it."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from bot.core.verdict import Finding, Term
from sdxl_engine.request import MAX_INFERENCE_STEPS


class PromptFilter(Protocol):
    """Finds what is on its lists, however it is disguised."""

    def findings(
        self,
        texts: Mapping[str, str],
        terms: Sequence[Term] = (),
        *,
        steps: int = MAX_INFERENCE_STEPS,
    ) -> tuple[Finding, ...]:
        """What texts say that a rule names, at any step; not for the event loop.

        texts  by where they come from, such as "prompt"
        terms  a community's own, beside the owner's lists
        steps  in how many it is drawn

        Raises InvalidRequestError for a text that changes too much by the step to be read.
        """

    def checked(self, term: Term) -> Term:
        """A term as a list can hold it; raises InvalidRequestError for one that none can."""
