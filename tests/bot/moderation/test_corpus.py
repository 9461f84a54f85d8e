"""What the starter list finds in texts that were written to get past it, and in innocent ones.

Every file of the folder counts: `evasions_*.tsv` (text, category, language), `innocent_*.tsv` and
`ages_*.tsv` (text, language): disguised words for children in texts that are innocent.
"""

from pathlib import Path

import pytest

from bot.core.verdict import Term
from bot.moderation.lists import STARTER, read_terms
from bot.moderation.prompt_filter import ListFilter
from sdxl_engine.request import MAX_PROMPT_CHARS

CORPUS = Path(__file__).parent / "corpus"
MIN_RECALL = 0.95
MAX_FALSE_ALARMS = 0.01
LANGUAGES = {"en", "de", "fr", "es", "pt", "ja", "zh", "ru"}


def rows(kind: str) -> list[list[str]]:
    return [
        line.split("\t")
        for path in sorted(CORPUS.glob(f"{kind}_*.tsv"))
        for line in path.read_text(encoding="utf-8").split("\n")
        if line.strip()
    ]


@pytest.fixture(scope="module")
def starter() -> ListFilter:
    return ListFilter(read_terms(STARTER))


def test_evasions_are_found_as_what_they_are(starter: ListFilter) -> None:
    evasions = rows("evasions")
    missed = [
        text
        for text, category, _ in evasions
        if category not in {one.category for one in starter.findings({"prompt": text})}
    ]
    assert len(evasions) >= 200
    assert {language for *_, language in evasions} == LANGUAGES
    assert 1 - len(missed) / len(evasions) >= MIN_RECALL, missed


def test_innocent_texts_are_let_through(starter: ListFilter) -> None:
    innocent = rows("innocent")
    alarms = {text: found for text, _ in innocent if (found := starter.findings({"prompt": text}))}
    assert len(innocent) >= 200
    assert {language for _, language in innocent} == LANGUAGES
    assert len(alarms) / len(innocent) <= MAX_FALSE_ALARMS, alarms


def test_innocent_texts_stay_so_one_behind_the_other(starter: ListFilter) -> None:
    by_language: dict[str, str] = {}
    for text, language in rows("innocent"):
        longer = f"{by_language.get(language, '')}{text}, "
        by_language[language] = longer if len(longer) <= MAX_PROMPT_CHARS else f"{text}, "
    assert {
        language: found
        for language, text in by_language.items()
        if (found := starter.findings({"prompt": text}))
    } == {}


def test_words_for_children_are_found_and_innocent_alone(starter: ListFilter) -> None:
    ages = [text for text, _ in rows("ages")]
    (both,) = [
        one.text
        for one in read_terms(STARTER)
        if one.category == "minors" and " & " in one.text and one.kind == "word"
    ]
    ages_beside = ListFilter([Term(f"{both.split(' & ')[0]} & placeholder")])
    assert len(ages) >= 20
    assert [text for text in ages if starter.findings({"prompt": text})] == []
    assert [
        text for text in ages if not ages_beside.findings({"prompt": f"{text}, placeholder"})
    ] == []
