"""What is said in other languages, and the catalogues that it is said from."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from babel.messages.catalog import Catalog
from hypothesis import given
from hypothesis import strategies as st

from bot.core.card import Moment
from bot.languages.languages import (
    ENDING,
    Languages,
    catalogue_of,
    ids_of,
    shipped,
    strings_of,
)
from bot.languages.messages import (
    FOLDER,
    LOCALES,
    Said,
    catalogue,
    said_everywhere,
    said_in,
    written,
)
from sdxl_engine.sentence import Sentence, names_in, say, say_many, sentences

SAID = said_everywhere()
NUMERIC = tuple("gf,d")  # what a number's format ends in
OUTER = Sentence("{first} {then}", {"first": "a", "then": "b"})


def faults(of: Catalog) -> Iterator[str]:
    """What is wrong with the translations that there are."""
    for message in of:
        if not message.id:
            continue
        one, translated = ids_of(message), strings_of(message)
        if len(one) > 1 and len(translated) != of.num_plurals:
            yield f"{len(translated)} forms: {one[0]}"
        if any(translated) and not all(translated):
            yield f"a form is missing: {one[0]}"
        for text in filter(None, translated):
            try:
                same = names_in(text) == names_in(one[-1])
            except ValueError:
                same = False
            if not same:
                yield f"other values: {text}"
            if [text[:1].isspace(), text[-1:].isspace()] != [
                one[0][:1].isspace(),
                one[0][-1:].isspace(),
            ]:
                yield f"other space around it: {text}"


def untranslated(of: Catalog) -> Iterator[str]:
    """What is still said in English."""
    for message in of:
        if message.id and (message.fuzzy or not all(strings_of(message))):
            yield ids_of(message)[0]


@pytest.mark.parametrize("locale", sorted(LOCALES))
def test_nothing_is_left_in_english(locale: str) -> None:
    assert list(untranslated(catalogue_of(FOLDER / f"{locale}{ENDING}"))) == []


def made(tmp_path: Path, locale: str, translations: dict[Said, str | tuple[str, ...]]) -> Path:
    """A folder with one catalogue."""
    known = Catalog(locale.replace("-", "_"), fuzzy=False)
    for one, text in translations.items():
        known.add(one[0] if len(one) == 1 else one, text)
    said = {one: ["somewhere.py"] for one in sorted(translations)}
    (tmp_path / f"{locale}{ENDING}").write_text(written(catalogue(locale, said, known)))
    return tmp_path


@pytest.fixture(scope="module")
def german(tmp_path_factory: pytest.TempPathFactory) -> Languages:
    return Languages(
        made(
            tmp_path_factory.mktemp("german"),
            "de",
            {
                ("There is no {what} here.",): "Hier gibt es {what} nicht.",
                ("the {name}",): "den {name}",
                ("Number {place}, ready {ready}.",): "Bereit {ready}, als Nummer {place}.",
                ("{count} job waits {where}.", "{count} jobs wait {where}."): (
                    "{count} Auftrag wartet {where}.",
                    "{count} Aufträge warten {where}.",
                ),
            },
        )
    )


def test_there_is_a_catalogue_for_each_language() -> None:
    assert {file.name for file in FOLDER.iterdir()} == {f"{one}{ENDING}" for one in LOCALES}
    assert set(shipped().locales) == set(LOCALES)


@pytest.mark.parametrize("locale", LOCALES)
def test_a_catalogue_holds_what_is_said_and_nothing_else(locale: str) -> None:
    """If it does not: make messages."""
    file = FOLDER / f"{locale}{ENDING}"
    assert file.read_text() == written(catalogue(locale, SAID, catalogue_of(file)))


@pytest.mark.parametrize("locale", LOCALES)
def test_a_catalogue_is_sound(locale: str) -> None:
    assert list(faults(catalogue_of(FOLDER / f"{locale}{ENDING}"))) == []


def test_an_unsound_catalogue_is_seen() -> None:
    of = Catalog("de")
    of.add("Say {it}.", "Sag {das}.")
    of.add("Write {it:,}.", "Schreib {it}.")
    of.add("Wait.", " Warte.")
    of.add("Broken", "{")
    of.add(("{count} day", "{count} days"), ("{count} Tag", ""))
    of.add("Good {day}", "Guten {day}")
    of.add("Nobody did this one.")
    assert sorted(faults(of)) == [
        "a form is missing: {count} day",
        "other space around it:  Warte.",
        "other values: Sag {das}.",
        "other values: Schreib {it}.",
        "other values: {",
    ]


def test_what_nobody_translated_is_seen() -> None:
    of = Catalog("de", fuzzy=False)
    of.add("Say {it}.", "Sag {it}.")
    of.add("Guessed.", "Geraten.", flags=["fuzzy"])
    of.add(("{count} day", "{count} days"), ("{count} Tag", ""))
    of.add("Nobody did this one.")
    assert sorted(untranslated(of)) == ["Guessed.", "Nobody did this one.", "{count} day"]


def test_nobody_says_the_same_in_two_ways() -> None:
    """A catalogue has one entry for a template, counted or not."""
    assert len({said[0] for said in SAID}) == len(SAID)


@pytest.mark.parametrize(
    ("locale", "nearest"),
    [
        ("de", "de"),
        ("pt-BR", "pt-BR"),
        ("pt-PT", "pt-BR"),
        ("es-419", "es-ES"),
        ("zh-TW", "zh-CN"),
        ("en-GB", None),
        ("en-US", None),
        ("ko", None),
        ("d", None),
        ("", None),
    ],
)
def test_the_nearest_language_is_spoken(locale: str, nearest: str | None) -> None:
    assert shipped().nearest(locale) == nearest


def test_a_sentence_is_said_in_another_language(german: Languages) -> None:
    said = say("There is no {what} here.", what=say("the {name}", name="{name}"))
    assert german.say(said, "de") == "Hier gibt es den {name} nicht."
    assert german.say(said, "fr") == said
    assert german.say("There is no {what} here.", "de") == "There is no {what} here."


@pytest.mark.parametrize(
    ("count", "text"), [(1, "1 Auftrag wartet hier."), (0, "0 Aufträge warten hier.")]
)
def test_what_is_counted_has_its_form(german: Languages, count: int, text: str) -> None:
    said = say_many("{count} job waits {where}.", "{count} jobs wait {where}.", count, where="hier")
    assert german.say(said, "de-AT") == text


def test_what_nobody_translated_is_said_in_english(german: Languages) -> None:
    known = say("There is no {what} here.", what="x")
    assert german.say(sentences(say("Nobody knows."), known), "de") == (
        "Nobody knows. Hier gibt es x nicht."
    )


def test_a_home_shows_its_own_things_in_its_own_way(german: Languages) -> None:
    said = say("Number {place}, ready {ready}.", place=3, ready=Moment(60))

    def shown(piece: object) -> str:
        return f"<{piece.at_s}>" if isinstance(piece, Moment) else f"[{piece}]"

    assert "".join(map(shown, german.pieces(said, "de"))) == "[Bereit ]<60>[, als Nummer 3.]"
    assert "".join(map(shown, german.pieces(said, ""))) == "[Number 3, ready ]<60>[.]"
    assert said == "Number 3, ready 1970-01-01 00:01:00 UTC."


def test_a_translation_that_could_not_be_filled_is_not_used(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        languages = Languages(made(tmp_path, "de", {("Say {it}.",): "Sag {das}."}))
    assert languages.say(say("Say {it}.", it="x"), "de") == "Say x."
    assert "values differ: Say {it}." in caplog.text


@st.composite
def anything_said(draw: st.DrawFn) -> tuple[Sentence, list[str]]:
    """Any of our sentences with any values, and how these read in it."""
    one = draw(st.sampled_from(sorted(SAID)))
    values: dict[str, object] = {}
    shown: list[str] = []
    for name, spec, _ in sorted({*names_in(one[0]), *names_in(one[-1])}):
        number = st.integers(0, 10**6)
        if (name == "count" and len(one) > 1) or spec.endswith(NUMERIC):
            values[name] = draw(number)
        else:
            values[name] = draw(st.text(max_size=9) | number)
        if (name, spec, "") in names_in(one[-1]):
            shown.append(format(values[name], spec))
    if len(one) > 1:
        values.setdefault("count", draw(st.integers(0, 9)))
    return Sentence(one[0], values, one[1] if len(one) > 1 else None), shown


REAL = shipped()


@given(anything_said(), st.sampled_from([*LOCALES, "en-GB", "ko", ""]))
def test_whatever_is_said_can_be_said_in_every_language(
    said: tuple[Sentence, list[str]], locale: str
) -> None:
    sentence, values = said
    for text in (REAL.say(sentence, locale), REAL.say(sentences(sentence, OUTER), locale)):
        assert all(value in text for value in values)


def test_what_is_said_is_found_in_the_source(tmp_path: Path) -> None:
    path = tmp_path / "module.py"
    path.write_text(
        "from sdxl_engine.sentence import say, say_many\n"
        'A = say("One {x}"\n    " and {y}.", x=say("inner"), y=2)\n'
        'B = say_many("a day", "{count} days", 3)\n'
        'languages.say("not this", "de")\n'
    )
    assert sorted(said_in(path)) == [("One {x} and {y}.",), ("a day", "{count} days"), ("inner",)]
    path.write_text('def say(text): ...\nsay("of its own")\n')
    assert list(said_in(path)) == []


@pytest.mark.parametrize("call", ['say(f"{x}")', "say(TEXT)", 'say_many("one", count=2)'])
def test_a_template_that_cannot_be_found_is_refused(tmp_path: Path, call: str) -> None:
    path = tmp_path / "module.py"
    path.write_text(f"from sdxl_engine.sentence import say, say_many\n{call}\n")
    with pytest.raises(ValueError, match=r"module\.py:2: a template is a literal"):
        list(said_in(path))


def test_a_new_catalogue_keeps_what_is_still_said() -> None:
    known = Catalog("de", fuzzy=False)
    known.add("Stays.", "Bleibt.")
    known.add("Goes.", "Geht.")
    known.add("Guessed.", "Geraten.", flags=["fuzzy"])
    known.add("{count} day", "{count} Tag")
    said: dict[Said, list[str]] = {
        ("Stays.",): ["b.py", "a.py"],
        ("Guessed.",): ["a.py"],
        ("{count} day", "{count} days"): ["a.py"],
        ("New.",): ["a.py"],
    }
    text = written(catalogue("de", said, known))
    assert "Bleibt." in text
    for gone in ("Geht.", "Goes.", "Geraten.", "Tag", "fuzzy", "Date", "FULL NAME"):
        assert gone not in text
    assert 'msgid "New."\nmsgstr ""\n' in text
    assert "#: a.py b.py\n" in text
    assert written(catalogue("de", said, known)) == text
