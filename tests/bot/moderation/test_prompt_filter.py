"""The prompt filter: what is found however it is written, what is not, and what is no term."""

from collections.abc import Callable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bot.core.ports.prompt_filter import PromptFilter
from bot.core.verdict import Finding, Term, TermKind
from bot.moderation.automaton import MAX_WORDINGS, Automaton
from bot.moderation.characters import LOOKALIKES, leet
from bot.moderation.lists import STARTER, read_terms
from bot.moderation.prompt_filter import MAX_TERM_CHARS, ListFilter
from bot.moderation.readings import plain, readings
from sdxl_engine.errors import InvalidRequestError
from sdxl_engine.prompt import BREAK, at_steps, pieces
from sdxl_engine.request import MAX_INFERENCE_STEPS, MAX_PROMPT_CHARS

STARTERS = read_terms(STARTER)
FILTER = ListFilter(STARTERS)
# What a person may type of any term: Latin letters, and no more than that.
LATIN = sorted(
    {
        one.text.strip("*")
        for one in STARTERS
        if one.kind == "word"
        and one.text.strip("*").replace(" ", "").isascii()
        and one.text.strip("*").replace(" ", "").isalpha()
        and min(map(len, one.text.strip("*").split())) > 2  # "s e" is put together nowhere
    }
)
ALIKE = {
    letter: [char for char in chars if char not in leet("foreign")]
    for letter, _, chars in (
        line.partition("\t") for line in LOOKALIKES.read_text(encoding="utf-8").split("\n")
    )
    if len(letter) == 1
}
# 22 things one behind the other, each with three choices: 3 ** 22 wordings.
MANY_WORDINGS = Term("&".join(["ab|cd|ef"] * 22), "exception")


def rules(text: str, *terms: Term) -> list[str]:
    return [one.rule for one in ListFilter(terms).findings({"prompt": text})]


def words(*texts: str) -> list[Term]:
    return [Term(text) for text in texts]


def between(sign: str) -> Callable[[str], str]:
    """A disguise that puts a sign between the letters of each word."""
    return lambda text: " ".join(sign.join(word) for word in text.split(" "))


def apart(text: str) -> str:
    return "  ".join(" ".join(word) for word in text.split(" "))


def wide(text: str) -> str:
    return "".join(chr(ord(char) + 0xFEE0) if "!" <= char <= "~" else char for char in text)


DISGUISES = (
    str.upper,
    str.swapcase,
    wide,
    between("\u200b"),
    between("\u00ad"),
    between("\u202e"),
    between("\u0336"),
    between("\U000e0041"),
)
LAST = (str, apart, between("."), between("-"), between("_"), between("\U0001f351"))


@given(
    st.sampled_from(LATIN),
    st.lists(st.sampled_from(DISGUISES), unique=True),
    st.sampled_from(LAST),
    st.booleans(),
)
def test_a_listed_term_is_found_in_any_disguise(
    term: str,
    disguises: list[Callable[[str], str]],
    last: Callable[[str], str],
    is_repeated: bool,
) -> None:
    text = last("".join(char * 3 if char.isalpha() and is_repeated else char for char in term))
    for disguise in disguises:
        text = disguise(text)
    assert FILTER.findings({"prompt": f"a cat, {text}, dogs"})


@given(st.sampled_from(LATIN), st.data())
def test_a_letter_may_be_any_that_looks_like_it(term: str, data: st.DataObject) -> None:
    place = data.draw(st.sampled_from([at for at, char in enumerate(term) if char in ALIKE]))
    alike = data.draw(st.sampled_from(ALIKE[term[place]]))
    assert FILTER.findings({"prompt": f"a cat {term[:place]}{alike}{term[place + 1 :]}"})


@given(st.text(max_size=200))
def test_any_text_can_be_read(text: str) -> None:
    lines = [reading.line for reading in readings(text)]
    of_words = [reading.line for reading in readings(text) if not reading.whole]
    assert len(set(of_words)) == len(of_words)
    assert all(line[0] == line[-1] == " " for line in lines)
    assert sum(map(len, lines)) <= 1_000 * (len(text) + 1)
    FILTER.findings({"prompt": text})


@pytest.mark.parametrize(
    "text",
    [
        "a" * MAX_PROMPT_CHARS,
        "a!" * 2_000,
        "!" * MAX_PROMPT_CHARS,
        "a " * 2_000,
        "(" * 4_000,
        "裸 " * 2_000,
        "a*b*c " * 660,
        "{a|b}" * 4 + "x[y|z] BREAK n*d* " * 200,
        "\\(" * 2_000,
        "\u0430" * 4_000,
        "1" * 4_000,
    ],
)
def test_odd_texts_of_the_greatest_length_are_read(text: str) -> None:
    assert sum(len(reading.line) for reading in readings(text)) < 100 * MAX_PROMPT_CHARS


@pytest.mark.parametrize(
    "text",
    [
        *("nude", "NUDE", "n u d e", "a n u d e", "n.u.d.e", "n, u, d, e", "n\nu\nd\ne"),
        *("nuuude", "nnuuddee", "nudes"),
        "(nu:1.3)de",
        "[nu]de",
        "nu BREAK de",
        "{nu|ol}de",
        "[nu:no:5]de",
        "n*de",
        "nud\u0435",
        "n\u2009u d e",
        "p nude q",
        "nu\U0001f351de",
        "my_nude_cat",
        "myNudeCat",
        "nude18",
        "nUd3",
        "n ude",
        "nu d e",
    ],
)
def test_what_is_read_as_the_term(text: str) -> None:
    assert rules(text, Term("nude")) == ["nude"]


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("Scunthorpe, Essex, a grape, a womb, assassins", ("cunt", "sex", "rape", "ass")),
        ("Bob and a good loose boot", ("boob", "god", "lose", "bot")),
        ("rapping, a rapper", ("nape",)),
        ("le nu de Modigliani", ("nude",)),
        ("Bob's ex", ("sex",)),
        ("the pen is red", ("penis",)),
        ("por nosotros", ("porn*",)),
        ("popcorn", ("porn", "corn")),
        ("4k, 8k, 35mm", ("bk", "ak")),
    ],
)
def test_what_is_not_read_as_a_term(text: str, terms: tuple[str, ...]) -> None:
    assert rules(text, *words(*terms)) == []


def test_ends_and_stars() -> None:
    assert rules("xabc abcx", Term("abc")) == []
    assert rules("xabc", Term("*abc")) == ["*abc"]
    assert rules("xabcx", Term("*abc*")) == ["*abc*"]
    assert rules("abcx", Term("abc*")) == ["abc*"]


def test_words_of_all_lists_in_one_text() -> None:
    term = Term("child | kid & nude | naked")
    assert rules("a kid, n4ked", term) == ["kid & naked"]
    assert rules("a kid", term) == rules("naked", term) == []
    assert rules("black cat, white dog", Term("black & white")) == ["black & white"]


def test_scripts_without_spaces_are_searched_anywhere() -> None:
    assert rules("彼女は全裸です", Term("全裸")) == ["全裸"]
    assert rules("裸 体", Term("裸体")) == rules("裸・体", Term("裸体")) == ["裸体"]
    assert rules("ﾇｰﾄﾞ", Term("ヌード")) == rules("ぬーど", Term("ヌード")) == ["ヌード"]
    assert rules("全, 裸足", Term("全裸")) == []
    assert rules("裸(1.2)体", Term("裸体")) == rules("裸體", Term("裸体")) == ["裸体"]
    assert rules("おっ ぱ いの", Term("おっぱい")) == ["おっぱい"]
    assert rules("ヌ―ド", Term("ヌード")) == rules("ヌ-ド", Term("ヌード")) == ["ヌード"]


def test_alphabets_in_each_other() -> None:
    assert rules("c\u0435к\u0441", Term("\u0441\u0435к\u0441")) == ["\u0441\u0435к\u0441"]
    assert rules("\u0441\u0435к\u0441", Term("\u0441\u0435к\u0441")) == ["\u0441\u0435к\u0441"]
    assert rules("\u0455\u0435\u0445", Term("sex")) == ["sex"]


@pytest.mark.parametrize(
    ("text", "term"),
    [
        *(
            ("\u04330\u04400д", "\u0433\u043e\u0440\u043eд"),
            ("\u04331\u0440я", "\u0433и\u0440я"),
            ("зв3н\u043e", "зв\u0435н\u043e"),
            ("3им\u0430", "зим\u0430"),
            ("4\u0430й", "ч\u0430й"),
        ),
        *(("sɐʇ", "sat"), ("ʇɐs", "sat"), ("unpǝ", "nude")),
        ("(cof:1.2)(fee:1.2)", "coffee"),
        ("c o f f e e p o t", "coffee pot"),
        ("l'4rbre de no3l", "arbre de noel"),
        ("das Maedchen", "Mädchen"),
        ("pu1sos", "pulsos"),
    ],
)
def test_rules_of_writing(text: str, term: str) -> None:
    assert rules(f"a dog, {text}, a cow", Term(term)) == [term]


SCHEDULED = (
    "[x:na:21]ked",
    "[[[[[[[[a:b:1]:c:2]:d:3]:e:4]:f:5]:g:6]:h:7]:na:8]ked",
    "[[x:y:1]:na:2]ked" + " " * 3_900 + "art",
    "[a|b|c|d|e|f|g|h|i|j|na]ked",
    "[x:nak:0.98]ed",
    "a [b:na: .5 ]ked",
)


@pytest.mark.parametrize("text", SCHEDULED)
def test_what_is_said_at_any_step_is_read(text: str) -> None:
    assert rules(text, Term("naked")) == ["naked"]


def test_a_text_is_read_for_the_steps_in_which_it_is_drawn() -> None:
    prompt_filter = ListFilter([Term("naked")])
    assert prompt_filter.findings({"prompt": SCHEDULED[0]}, steps=30)
    assert not prompt_filter.findings({"prompt": SCHEDULED[0]}, steps=21)


def test_words_are_neighbours_to_the_engine_whatever_stands_between() -> None:
    for text in ("my [old|pet] cat", "my [old:pet:3] cat", "(my:1.2) (pet:1.1) cat"):
        assert rules(text, Term("my pet cat")) == ["my pet cat"]
    assert rules("(my:1.2), (age:12)", Term("age 12")) == ["age 12"]


def test_an_exception_does_not_cover_what_is_said_without_it() -> None:
    terms = (Term("cock"), Term("cock robin", "exception"))
    assert rules("a cock [robin:x:3]", *terms) == ["cock"]


def test_what_changes_too_much_to_be_read_is_refused() -> None:
    text = "[a|b|c|d|e][f|g|h][i|j|k|l]" + "long words " * 300
    with pytest.raises(InvalidRequestError, match="too many different things"):
        rules(text, Term("naked"))
    assert rules(text) == []  # there is nothing to look for


TWO_WORDS = ListFilter(words("naked", "naked woman"))
PARTS = ["na", "ked", "naked", " woman", " ", "x", "[", "]", ":", "|", "(", ")"]
PARTS += ["[x:", ":1]", ":2.0]", ":0.5]", ":30]", ":1.2)", "\\", "BREAK", "{", "}"]


@given(
    st.lists(st.sampled_from(PARTS), max_size=40).map("".join),
    st.integers(1, MAX_INFERENCE_STEPS),
)
@example("[x:na:21]ked woman", 50)
def test_whatever_the_engine_says_is_found(text: str, steps: int) -> None:
    said = [
        plain("".join(" break " if piece is BREAK else piece.text for piece in pieces(one)))
        for _, one in at_steps(text, steps)
    ]
    expected = {term for term in (" naked ", " naked woman ") if any(term in one for one in said)}
    found = TWO_WORDS.findings({"prompt": text}, steps=steps)
    assert expected <= {f" {one.rule} " for one in found}


@given(st.text(st.characters(codec="ascii")))
def test_the_words_of_a_text_are_the_same_in_ascii(text: str) -> None:
    assert plain(text + "字").replace("字", "").strip() == plain(text).strip()


def test_an_exception_covers_what_it_holds_and_no_more() -> None:
    terms = (Term("cock"), Term("cock robin", "exception"))
    assert rules("cock robin", *terms) == rules("a cock-robin!", *terms) == []
    assert rules("cock robin, c0ck", *terms) == ["cock"]
    assert rules("Al Gore", Term("g.re", "regex"), Term("al gore", "exception")) == []


def test_an_exception_may_have_choices_and_minds_commas() -> None:
    terms = (
        Term("nude"),
        Term("rock | tree & nude", "exception"),
        Term("nude, texas", "exception"),
    )
    assert rules("a tree nude", *terms) == rules("Nude, Texas", *terms) == []
    assert rules("on a rock, nude", *terms) == rules("a rock so nude", *terms) == ["nude"]


def test_an_exception_of_too_many_wordings_takes_nothing_else_down(
    caplog: pytest.LogCaptureFixture,
) -> None:
    kept_before = (Term("nude"), MANY_WORDINGS, Term("nude rock", "exception"))
    assert rules("a nude, ab ab", *kept_before) == ["nude"]
    assert rules("a nude rock", *kept_before) == []
    assert "exceptions of too many wordings are left out of the filter: 1" in caplog.text


def test_exceptions_have_a_limit_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bot.moderation.automaton._MAX_ALL_WORDINGS", 4)
    terms = (
        *words("nude"),
        *(Term(f"nude & {one} | rock", "exception") for one in ("cat", "dog", "eel")),
    )
    assert rules("nude cat", *terms) == rules("nude dog", *terms) == []
    assert rules("nude eel", *terms) == ["nude"]


@given(
    st.text("abcaä\u00df\u0131I\u0430 \u88f8\u30cc|&*", max_size=MAX_TERM_CHARS),
    st.sampled_from(["word", "exception"]),
)
@example("\u88f8\u4f53" * 100, "word")
@example("ä\u0131 " * 66, "word")
@example("ä\u0131 |" * 50, "word")
@example(" & ".join(["\u0131ä|bä"] * 8), "exception")
def test_a_term_becomes_patterns_of_a_bounded_size(text: str, kind: TermKind) -> None:
    try:
        term = FILTER.checked(Term(text, kind))
    except InvalidRequestError:
        return
    automaton = Automaton([term])
    wordings = MAX_WORDINGS if kind == "exception" else 1
    assert automaton.size <= 32 * MAX_TERM_CHARS * wordings


def test_a_regular_expression_takes_no_longer_than_its_text() -> None:
    term = FILTER.checked(Term("(aa+)+$", "regex", category="other"))
    assert rules("a" * 3_999 + "!", term) == []
    assert rules("caaat aa", term) == ["(aa+)+$"]


def test_a_finding_says_what_and_where() -> None:
    texts = {"prompt": "a cat", "negative prompt": "gore, gore and g0re"}
    found = ListFilter([Term("gore", "word", "review", "blood")]).findings(texts)
    assert found == (Finding("review", "blood", "gore", "negative prompt"),)


def test_a_community_has_terms_of_its_own() -> None:
    prompt_filter: PromptFilter = ListFilter([Term("gore")])
    ours, theirs = (Term("cat"),), (Term("dog"), Term("al gore", "exception"))
    texts = {"prompt": "cat, dog, al gore"}
    for _ in range(2):
        assert [one.rule for one in prompt_filter.findings(texts, ours)] == ["gore", "cat"]
        assert [one.rule for one in prompt_filter.findings(texts, theirs)] == ["dog"]
        assert [one.rule for one in prompt_filter.findings(texts)] == ["gore"]


def test_many_communities_are_not_all_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bot.moderation.prompt_filter._MAX_COMPILED", 200)
    prompt_filter = ListFilter([Term("gore")])
    for number in range(20):
        word = f"word{chr(97 + number)}"
        assert prompt_filter.findings({"prompt": word}, (Term(word),))[0].rule == word
        assert len(prompt_filter._compiled) <= 10


@pytest.mark.parametrize(
    ("term", "sentence"),
    [
        (Term("a"), "'a' is too short"),
        (Term("ab*"), "'ab*' is too short"),
        (Term("."), "'.' is too short"),
        (Term(" "), "'' has no words"),
        (Term("&|"), "'&|' has no words"),
        (Term("x" * 10_000), "at most 200 characters, and this one has 10,000"),
        (Term("(", "regex"), "cannot be used: 'missing ): ('"),
        (Term(r"(.)\1", "regex"), "cannot be used"),
        (Term("(?=a)b", "regex"), "cannot be used"),
        (Term("x{1000}{1000}", "regex"), "cannot be used"),
        (Term("", "regex"), "found nearly everywhere"),
        (Term("(a|)*", "regex"), "found nearly everywhere"),
        (Term("a|bc", "regex"), "found nearly everywhere"),
        (Term("..", "regex"), "found nearly everywhere"),
        (Term("abc", category=""), "'' is no category"),
        (Term("abc", category="<b>"), "'<b>' is no category"),
        (Term("a & bc", "exception"), "'a' is too short"),
        (MANY_WORDINGS, "This exception stands for 31,381,059,609 wordings; 300 are the most."),
    ],
)
def test_what_is_no_term(term: Term, sentence: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        FILTER.checked(term)
    assert sentence in str(caught.value)


def test_a_term_is_tidied() -> None:
    assert FILTER.checked(Term("  two \n words ", category=" Gore ")) == Term(
        "two words", category="gore"
    )
    for text in ("裸", "ab", "x" * MAX_TERM_CHARS):
        assert FILTER.checked(Term(text)).text == text


@pytest.mark.parametrize(
    ("term", "text"),
    [
        *(("セックス", text) for text in ("セ○クス", "セッ〇ス中", "セ×クス", "セ＊クス")),  # noqa: RUF001 - disguises
        *(("裸体", text) for text in ("luo体大胸", "裸ti", "画裸 体")),
        *(("белая сила", text) for text in ("бeлая сuла", "6елая cилa")),  # noqa: RUF001 - disguises
        *(("суицид", text) for text in ("суи4ид", "сyuцuд", "cуицид")),  # noqa: RUF001 - disguises
    ],
)
def test_characters_may_be_hidden_spelled_or_of_two_alphabets(term: str, text: str) -> None:
    assert rules(text, *words(term)) == [term]


@pytest.mark.parametrize(
    ("term", "text"),
    [("セックス", "セ○キス"), ("裸体", "luoma体"), ("裸体", "体ti"), ("сила", "сuлач")],  # noqa: RUF001 - disguises
)
def test_hidden_and_spelled_characters_are_not_just_any(term: str, text: str) -> None:
    assert rules(text, *words(term)) == []
