"""The table of look-alikes, and how it is made."""

from pathlib import Path

import pytest

from bot.moderation import lookalike_table
from bot.moderation.characters import LOOKALIKES, folded, skeletons

CONFUSABLES = """\
\ufeff# Date: 2020-02-13, 01:38:49 GMT
# Version: 13.0.0
0430 ;\t0061 ;\tMA\t# ( \u0430 → a ) CYRILLIC SMALL LETTER A → LATIN SMALL LETTER A
0031 ;\t006C ;\tMA\t# ( 1 → l ) DIGIT ONE → LATIN SMALL LETTER L
05D0 ;\t2135 ;\tMA\t# ( א → ℵ ) ends in no Latin letter
"""


def test_it_is_made_of_confusables_and_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table, source = tmp_path / "table.tsv", tmp_path / "confusables.txt"
    monkeypatch.setattr(lookalike_table, "LOOKALIKES", table)
    source.write_text(CONFUSABLES, encoding="utf-8")
    lookalike_table.main(source)
    lines = table.read_text(encoding="utf-8").split("\n")
    assert "version 13.0.0, 2020-02-13" in "".join(lines)
    rows = dict(line.split("\t") for line in lines if "\t" in line)
    assert "\u0430" in rows["a"]
    assert "1" not in rows["l"]
    assert "ø" in rows["o"]
    assert "🅰" in rows["a"]
    assert not any("א" in chars for chars in rows.values())


def test_the_committed_one_says_whence_it_is() -> None:
    head = LOOKALIKES.read_text(encoding="utf-8")[:1_000]
    assert "Unicode License v3" in head
    assert "version 13.0.0" in head


@pytest.mark.parametrize(
    "text",
    [
        "\uff4e\uff55\uff44\uff45",  # fullwidth
        "\U0001d4f7\U0001d4fe\U0001d4ed\U0001d4ee",  # mathematical
        "\u24dd\u24e4\u24d3\u24d4",  # in circles
        "\U0001f17d\U0001f184\U0001f173\U0001f174",  # in black squares
        "\U0001f1f3\U0001f1fa\U0001f1e9\U0001f1ea",  # regional indicators
        "\u0578\u057d\u0501\u0435",  # Armenian and Cyrillic
        "\u0274\u1d1c\u1d05\u1d07",  # small capitals
        "n\u0336u\u0336d\u0336e\u0336",  # struck through
        "n\u200bu\u00adde",  # with what nobody sees
        "\U000e006e\U000e0075\U000e0064\U000e0065",  # tags
        "NUDE",
    ],
)
def test_what_a_word_may_be_dressed_as(text: str) -> None:
    assert "nude" in {folded(text), *skeletons(text)}
