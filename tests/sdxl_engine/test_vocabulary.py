"""Our reading of CLIP's files against transformers', token by token."""

import json
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import CLIPTokenizer

import sdxl_engine
from sdxl_engine.checkpoint.config import SdxlConfig
from sdxl_engine.tokenizer import TOKENIZER_FOLDERS, PromptTokenizer
from sdxl_engine.vocabulary import Vocabulary
from tests.sdxl_engine.conftest import GOLDENS

MODELS = Path(sdxl_engine.__file__).parent
FOLDERS = [
    folder / name
    for folder in (MODELS / "doodle", MODELS / "sdxl_base", GOLDENS / "tiny_a")
    for name in TOKENIZER_FOLDERS
]
LEARNT = ["<toy>", "<toy>_1", "Grand Père", "naïve-style", "猫猫"]
CORPUS = [
    "",
    " ",
    "a red circle on a blue background",
    "A RED Circle,  with\ttabs\nand\u00a0spaces\u3000of every\u2028kind",
    "it's, they're, I'd've we'll I'm don't 'twas",
    "3 circles & 12 stars: 3.5x, 1024 x 1024!!! !!",
    "café cafe\u0301 İstanbul ß ﬁ Ǆ Å \u212b ÅNGSTRÖM",
    "一只红色的猫 在 東京 도시 مرحبا שלום नमस्ते ไทย",
    "🎈👩‍👩‍👧‍👦🏳️‍🌈 👍🏽❤️ \U0001f9ff",
    "<|startoftext|>a cat<|endoftext|> and <|ENDOFTEXT|><|endoftext|>tail",
    "\x00\x01\x7f\ufeff\u200b\u200d\u00ad soft",
    "(red:1.2) [cat|dog] {a|b} \\( \\) __all__ </w> a</w>b Ġ âĢ",
    "<toy> and <toy>_1 a<toy>b <TOY> grand père Grand Père GRAND PERE naïve-style 猫猫猫",
    "x" * 5_000,
    "pneumonoultramicroscopicsilicovolcanoconiosis " * 200,
    "🎈" * 700,
]


@cache
def encoders(folder: Path) -> SdxlConfig:
    return SdxlConfig.load(folder)


def load(folder: Path) -> Vocabulary:
    config = encoders(folder.parent)
    second = folder.name == "tokenizer_2"
    return Vocabulary.load(folder, config.text_encoder_2 if second else config.text_encoder)


@cache
def both(folder: Path, *, learnt: bool = False) -> tuple[Vocabulary, Any]:
    ours, theirs = load(folder), CLIPTokenizer.from_pretrained(folder, local_files_only=True)
    if learnt:
        assert ours.add(LEARNT) == ours.add(LEARNT)  # the second time they are there
        theirs.add_tokens(LEARNT)
        assert ours.add(LEARNT) == theirs.convert_tokens_to_ids(LEARNT)
    return ours, theirs


def assert_alike(ours: Vocabulary, theirs: Any, text: str) -> None:
    wanted = theirs(text, truncation=False, verbose=False)["input_ids"]
    tokens = ours.ids(text)
    assert [ours.bos, *tokens, ours.eos] == wanted
    assert ours.text(tokens) == theirs.decode(tokens, clean_up_tokenization_spaces=False)
    assert ours.text(wanted) == theirs.decode(wanted, clean_up_tokenization_spaces=False)
    for token in set(tokens):
        assert ours.spelled(token) == theirs.convert_ids_to_tokens(token)
        assert ours.text([token]) == theirs.decode([token], clean_up_tokenization_spaces=False)


@pytest.fixture(autouse=True)
def read_by_ours(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """What these tests compare must not be transformers' twice."""
    if "folder" in request.fixturenames:

        def never(*_: object) -> None:
            raise AssertionError("left to transformers")

        monkeypatch.setattr(Vocabulary, "_of_transformers", never)


@pytest.mark.parametrize("learnt", [False, True])
@pytest.mark.parametrize(
    "folder", FOLDERS, ids=lambda folder: f"{folder.parent.name}-{folder.name}"
)
def test_as_transformers_reads_them(folder: Path, learnt: bool) -> None:
    ours, theirs = both(folder, learnt=learnt)
    assert ours.by_text() == theirs.get_vocab()
    assert ours.added() == theirs.added_tokens_encoder
    assert list(ours.added()) == list(theirs.added_tokens_encoder)
    names = "bos", "eos", "pad", "unk"
    assert [getattr(ours, name) for name in names] == [
        getattr(theirs, f"{name}_token_id") for name in names
    ]
    assert ours.token(",</w>") == theirs.convert_tokens_to_ids(",</w>")
    assert ours.token("no such token") is None
    for text in CORPUS:
        assert_alike(ours, theirs, text)


TEXTS = st.lists(
    st.one_of(
        st.text(st.characters(exclude_categories=["Cs"])),
        st.sampled_from([*CORPUS[:13], *LEARNT, "<|endoftext|>", "'s", "!", "</w>", "\u0301"]),
    ),
    max_size=6,
).map("".join)


@pytest.mark.parametrize("learnt", [False, True])
@pytest.mark.parametrize(
    "folder", FOLDERS, ids=lambda folder: f"{folder.parent.name}-{folder.name}"
)
@given(text=TEXTS)
def test_any_text_is_read_alike(folder: Path, learnt: bool, text: str) -> None:
    assert_alike(*both(folder, learnt=learnt), text)


def said(key: str, value: object) -> Callable[[Path], None]:
    """A change of the configuration."""

    def change(folder: Path) -> None:
        path = folder / "tokenizer_config.json"
        path.write_text(json.dumps({**json.loads(path.read_bytes()), key: value}))

    return change


def first_added(**facts: object) -> Callable[[Path], None]:
    """A change of the first of the added tokens."""

    def change(folder: Path) -> None:
        path = folder / "tokenizer_config.json"
        config = json.loads(path.read_bytes())
        next(iter(config["added_tokens_decoder"].values())).update(facts)
        path.write_text(json.dumps(config))

    return change


def one_more(folder: Path) -> None:
    """A token that the vocabulary does not know, under a number beyond the next."""
    path = folder / "tokenizer_config.json"
    config = json.loads(path.read_bytes())
    flags = dict.fromkeys(("lstrip", "normalized", "rstrip", "single_word", "special"), False)
    config["added_tokens_decoder"]["100000"] = {"content": "<more>", **flags}
    path.write_text(json.dumps(config))


def legacy(folder: Path) -> None:
    (folder / "added_tokens.json").write_text('{"<more>": 597}')


def without_added(folder: Path) -> None:
    path = folder / "tokenizer_config.json"
    config = json.loads(path.read_bytes())
    del config["added_tokens_decoder"]
    path.write_text(json.dumps(config))


UNUSUAL = {
    "a class of its own": said("tokenizer_class", "Other"),
    "a key that is new": said("split_special_tokens", True),
    "capitals": said("do_lower_case", False),
    "an object as a token": said(
        "bos_token", {"__type": "AddedToken", "content": "<|startoftext|>"}
    ),
    "a special token that is not among the added": said("pad_token", "circle</w>"),
    "more special tokens": said("additional_special_tokens", ["circle</w>"]),
    "no added tokens": without_added,
    "an unknown fact of an added token": first_added(odd=True),
    "an added token of no known number": one_more,
    "a file more": legacy,
}


@pytest.mark.parametrize("change", UNUSUAL.values(), ids=UNUSUAL)
def test_what_else_files_say_is_left_to_transformers(
    change: Callable[[Path], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = Path(shutil.copytree(GOLDENS / "tiny_a", tmp_path / "model"))
    change(home / "tokenizer")
    asked: list[Path] = []
    usual = Vocabulary.load(home / "tokenizer_2", SdxlConfig.load(home).text_encoder_2)

    def of_transformers(folder: Path) -> Vocabulary:
        asked.append(folder)
        return usual

    monkeypatch.setattr(Vocabulary, "_of_transformers", of_transformers)
    Vocabulary.load(home / "tokenizer", SdxlConfig.load(home).text_encoder)
    assert asked == [home / "tokenizer"]


def test_transformers_reads_its_own_form_alike() -> None:
    """The way through transformers, to the end."""
    folder = GOLDENS / "tiny_b" / "tokenizer"
    ours, theirs = both(folder)
    assert ours.by_text() == theirs.get_vocab()
    for text in CORPUS:
        assert_alike(ours, theirs, text)


def test_spelled_as_before() -> None:
    tokenizer = PromptTokenizer(MODELS / "doodle", encoders(MODELS / "doodle"))
    for row, name in enumerate(TOKENIZER_FOLDERS):
        _, theirs = both(MODELS / "doodle" / name)
        for token in theirs.get_vocab().values():
            spelled = theirs.convert_ids_to_tokens(token)
            text = theirs.decode([token], clean_up_tokenization_spaces=False).strip() or spelled
            whole = token in theirs.added_tokens_decoder or spelled.endswith("</w>")
            assert tokenizer.spelled(row, token) == (text, token, whole)
