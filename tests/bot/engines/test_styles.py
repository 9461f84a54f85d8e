"""The files of styles: what comes with the bot, and what owners write and bring."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.config.sections import Config, StylesConfig
from bot.core.styles import PLACE, Style
from bot.engines.loading import usual_of
from bot.engines.styles import MAX_STYLES, SHIPPED, read_styles
from bot.errors import ConfigError
from sdxl_engine.prompt import at_steps, expanded, pieces


def own(folder: Path, text: str | bytes, name: str = "own.toml") -> StylesConfig:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return StylesConfig(file=path)


def test_those_that_come_along_say_nothing_but_words() -> None:
    styles = usual_of(Config()).styles
    assert 12 <= len(styles) <= 25  # as many as one menu of a chat holds
    for name, style in styles.items():
        assert name == style.name
        assert style.prompt.count(PLACE) == 1
        assert style.description
        assert not style.settings  # a distilled model could not be drawn with most
        whole, negative = style.around("a cat", None)
        for text in (whole, negative or ""):
            assert [piece.weight for piece in pieces(text)] == [1]
            assert at_steps(text, 20) == ((20, text),)
            assert expanded(text) == (text,)


def test_an_owners_extend_and_replace_them(tmp_path: Path) -> None:
    config = own(
        tmp_path,
        '["Stained Glass"]\nprompt = """leaded\n  glass, {prompt} <lora:glass:0.5>"""\nsteps = 30\n'
        'guidance = 4\nsampler = "DPM++ 2M Karras"\n[clay]\nprompt = "clay"\n',
    )
    shipped, styles = read_styles(StylesConfig()), read_styles(config)
    assert [*styles] == [*shipped, "stained-glass"]
    assert styles["clay"] == Style("clay", "clay", "clay")
    assert styles["stained-glass"] == Style(
        "stained-glass",
        "Stained Glass",
        "leaded glass, {prompt}",
        num_inference_steps=30,
        guidance_scale=4.0,
        sampler=("dpmpp_2m", "karras"),
        loras=(("glass", 0.5),),
    )
    hidden = read_styles(StylesConfig(config.file, ("Pixel Art", "clay")))
    assert "pixel-art" not in hidden
    assert hidden["clay"] == styles["clay"]  # one's own is not hidden


def test_a1111s_file_is_read(tmp_path: Path) -> None:
    text = (
        "\ufeffname,prompt,negative_prompt\r\n"
        "--- mine ---,,\r\n"
        'Old Map,"old map of {prompt}, ""ink""","modern, neon"\r\n'
        "tidy,,mess\r\n"
        'long,"two\r\nlines \u2028 here",\r\n'
    )
    styles = read_styles(own(tmp_path, text, "styles.CSV"))
    assert styles["old-map"] == Style(
        "old-map", "Old Map", 'old map of {prompt}, "ink"', "modern, neon"
    )
    assert styles["tidy"] == Style("tidy", "tidy", PLACE, "mess")
    assert styles["long"].prompt == "two lines here"
    assert "mine" not in styles


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[a", r"own\.toml is not valid TOML: "),
        ("a = " + "[" * 10_000, r"own\.toml is not valid TOML: "),
        ("[a]\n[a]", r"own\.toml is not valid TOML: "),
        ("a = 1", r"own\.toml, style a must be a table, not 1\."),
        ("[a]\npromt = 1", r"own\.toml, style a has a key promt .* Did you mean prompt\?"),
        (
            "[a]\nsteps = 90",
            r"own\.toml, style a: steps must be a whole number from 1 to 50, not 90",
        ),
        ("[a]\nprompt = 1", r"style a: prompt must be a text that is not empty"),
        ('[a]\nprompt = "\\u202e"', r"style a: prompt must be a text"),
        (f'[a]\nprompt = "{"x" * 1001}"', r"prompt must be .* 1,000 characters"),
        ('[a]\nsampler = "nope"', r"style a: sampler must be one of euler"),
        ('[a]\nprompt = "<lora:x"', r"style a: '<lora:x' begins a LoRA"),
        ('["A b"]\n[a-b]', r"style a-b: there is another style of this name"),
        ('["a, b"]', r"style a, b: a style's name has 1 to 50 characters, no comma"),
        ('[" - "]', r"a style's name has 1 to 50"),
        ("\n".join(f"[s{number}]" for number in range(MAX_STYLES)), r"There are 217 styles"),
        ("#" * 2**20, r"own\.toml are larger than 512 KB"),
        (b"\xff", r"own\.toml are not UTF-8"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str | bytes, sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        read_styles(own(tmp_path, text))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", r"own\.csv, line 1 has no column name and no column prompt\."),
        ("name,text\na,b", r"line 1 has no column prompt\. Write name,prompt,negative_prompt"),
        ("name,prompt\na,b,c", r"own\.csv, line 2, style a has more columns"),
        ("name,prompt\na,b\n,b", r"line 3, style : a style's name has 1 to 50"),
        (f"name,prompt\na,b\n\nc,{'x' * 1001}", r"line 4, style c: prompt must be"),
        (f"name,prompt\na,{'x' * 140_000}", r"own\.csv is no CSV after line 1: field larger"),
    ],
)
def test_and_where_in_a_csv(tmp_path: Path, text: str, sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        read_styles(own(tmp_path, text, "own.csv"))


def test_a_file_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no file of styles .*none\.toml"):
        read_styles(StylesConfig(tmp_path / "none.toml"))
    os.mkfifo(tmp_path / "pipe.toml")
    with pytest.raises(ConfigError, match=r"pipe\.toml cannot be read: it is a pipe"):
        read_styles(StylesConfig(tmp_path / "pipe.toml"))


def test_hiding_what_is_not_there() -> None:
    with pytest.raises(ConfigError, match=r"hide names 'clya', .* Did you mean clay\?"):
        read_styles(StylesConfig(hide=("clya",)))


WORDS = st.sampled_from(
    ['"', ",", "\n", "[", "]", "=", "a", "prompt", "{prompt}", "steps", "5", "\0", "\r", "<lora:"]
)


@given(
    st.lists(WORDS, max_size=20).map(lambda words: "".join(words).encode()) | st.binary(),
    st.sampled_from(["own.toml", "own.csv"]),
    st.sampled_from([b"", b"name,prompt\n", b"[x]\n"]),
)
def test_any_file_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, name: str, head: bytes
) -> None:
    try:
        styles = read_styles(own(tmp_path_factory.getbasetemp(), head + data, name))
    except ConfigError as error:
        assert name in str(error)  # noqa: PT017 - it may or may not be raised
    else:
        assert styles.keys() >= read_styles(StylesConfig(file=SHIPPED)).keys()
