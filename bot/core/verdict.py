"""What the rules of a place say of a prompt or of a picture: findings, and what is done about them.

Pure data and functions. A filter finds terms, a picture check gives scores; what either comes to is
decided here.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

Measure = Literal["warn", "review", "block"]
"""What is done: drawn, and moderators are told; shown once a moderator has approved it; refused."""

TermKind = Literal["word", "regex", "exception"]

UNNAMED: Final = "other"  # of a term whose list does not say what it is about
MEASURES: Final[tuple[Measure, ...]] = ("warn", "review", "block")  # the strictest last


@dataclass(frozen=True, slots=True)
class Term:
    """One line of a filter's list.

    text      words as people write them, or a regular expression
    kind      "exception": what holds it is no finding, such as "scunthorpe"
    measure   what is done about it; of an exception nothing
    category  what it is about, a word such as "sexual"
    """

    text: str
    kind: TermKind = "word"
    measure: Measure = "block"
    category: str = UNNAMED


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that a rule names.

    rule   the term as its list has it, or what a picture check calls what it saw
    where  in which text, such as "prompt"; of a picture "picture 2"
    """

    measure: Measure
    category: str
    rule: str
    where: str


def outside(categories: Collection[str], findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """The findings of other categories than these."""
    return tuple(one for one in findings if one.category not in categories)


def strictest(findings: Iterable[Finding]) -> Measure | None:
    """What is done about all of them; None: nothing."""
    return max((one.measure for one in findings), key=MEASURES.index, default=None)


@dataclass(frozen=True, slots=True)
class Thresholds:
    """From which score on, 0 to 1, a category of a picture check is reviewed or blocked.

    A category that neither names is of no concern.
    """

    review: Mapping[str, float]
    block: Mapping[str, float]

    def findings(self, scores: Mapping[str, float], where: str) -> tuple[Finding, ...]:
        """What a picture's scores come to."""
        found = []
        for category, score in scores.items():
            reached: Measure | None = None
            if score >= self.block.get(category, 2.0):
                reached = "block"
            elif score >= self.review.get(category, 2.0):
                reached = "review"
            if reached is not None:
                found.append(Finding(reached, category, f"{category} {score:.2f}", where))
        return tuple(found)
