"""Whatever is typed, configured or set: one ordinary sentence that can be read, and a code."""

import os
from pathlib import Path

import pytest

from bot.cli.main import main

Capture = pytest.CaptureFixture[str]

DIGITS = "9" * 5_000
LONG = "x" * 100_000
LONG_PATH = "a/" * 3_000
RED = "\x1b[31m\n"
NO_TEXT = "\udcff"  # a byte of the command line that is no UTF-8
MOST_CHARS = 600


def complaint(argv: list[str], capsys: Capture) -> str:
    """What is said, which is a sentence whatever it is about."""
    code = main(argv)
    said = capsys.readouterr().err
    assert code in {1, 2}, said
    assert "unexpected" not in said
    assert len(said) < MOST_CHARS
    assert said.removesuffix("\n").isprintable()
    assert said.endswith(".\n")
    return said


def configured(text: str | bytes, capsys: Capture) -> str:
    data = text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")
    Path("odd.toml").write_bytes(data)
    said = complaint(["jobs", "--config", "odd.toml", "list"], capsys)
    assert "odd.toml" in said
    return said


@pytest.mark.parametrize(
    "number",
    [DIGITS, f"-{DIGITS}", "0x" + "f" * 5_000, "9" * 400, "inf", "nan", "1e999", "1979-05-27"],
    ids=lambda number: number[:8],
)
@pytest.mark.parametrize(
    "key", ["jobs]\nmax_queued", "engine]\ndefault_guidance", "engine]\nmodel"]
)
def test_odd_numbers_in_the_configuration(key: str, number: str, capsys: Capture) -> None:
    configured(f"[{key} = {number}", capsys)


@pytest.mark.parametrize(
    "text",
    ["a = " + "[" * 30_000, "[" * 30_000, "a = " + "{a=" * 15_000, "a" + ".a" * 5_000 + " = 1"],
    ids=lambda text: text[:8],
)
def test_brackets_without_end_in_the_configuration(text: str, capsys: Capture) -> None:
    configured(text, capsys)


@pytest.mark.parametrize("name", [LONG[:60_000], '"\\u001b[31m\\n"'], ids=["long", "red"])
@pytest.mark.parametrize("line", ["[{}]", "{} = 1", "[engine]\n{} = 1", "[engine]\n{}.token = 1"])
def test_odd_names_in_the_configuration(line: str, name: str, capsys: Capture) -> None:
    configured(line.format(name), capsys)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (key, value)
        for key in ("engine]\nmodel", "storage]\nfolder", "discord]\napi_url", "log]\nlevel")
        for value in (LONG[:60_000], "a\\u0000b", "a\\nb", LONG_PATH)
        if (key, value) != ("storage]\nfolder", "a\\nb")  # a folder may be called so
    ],
    ids=lambda text: repr(text[:8]),
)
def test_odd_texts_in_the_configuration(key: str, value: str, capsys: Capture) -> None:
    configured(f'[{key} = "{value}"', capsys)


@pytest.mark.parametrize(
    "text",
    [
        b"\xff\xfe",
        b"\0" * 9,
        b"# " + b"x" * 2**21,
        b"[engine]\nmodel = 1\nmodel = 2",
        "\ufeff[jobs]\nmax_queued = 0",
        '[discord]\napi_url = "http://here:99999999"',
        f'[limits]\nrole_weights = ["{DIGITS}={DIGITS}"]',
        f'[engine]\nsizes = ["{DIGITS}x{DIGITS}"]',
        "[engine]\nsizes = [" + '"64x64",' * 7_000 + "]",
    ],
    ids=lambda text: repr(text[:12]),
)
def test_odd_files_as_the_configuration(text: str | bytes, capsys: Capture) -> None:
    configured(text, capsys)


@pytest.mark.parametrize(
    "path",
    ["folder", "pipe", "/dev/zero", "x" * 5_000, LONG_PATH, "a\0b", NO_TEXT, RED, "/dev/null/x"],
    ids=lambda path: repr(path[:8]),
)
def test_what_is_no_configuration_file_is_not_waited_for(path: str, capsys: Capture) -> None:
    Path("folder").mkdir()
    os.mkfifo("pipe")
    complaint(["jobs", "--config", path, "list"], capsys)


def test_a_size_that_cannot_be_is_told_what_can(capsys: Capture) -> None:
    said = configured('[engine]\nsizes = ["100x100"]', capsys)
    assert "each side a multiple of 8 from 64 to 2048" in said


def test_a_line_above_all_sections_is_no_section(capsys: Capture) -> None:
    said = configured("x = 1", capsys)
    assert "sets x outside of every section" in said


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("IMAGINE_JOBS__MAX_QUEUED", DIGITS),
        ("IMAGINE_ENGINE__DEFAULT_GUIDANCE", "1e999"),
        ("IMAGINE_ENGINE__MODEL", LONG),
        ("IMAGINE_ENGINE__MODEL", NO_TEXT),
        ("IMAGINE_ENGINE__SIZES", f"{DIGITS}x8"),
        ("IMAGINE_STORAGE__FOLDER", LONG),
        ("IMAGINE_STORAGE__FOLDER", LONG_PATH),
        ("IMAGINE_" + "X" * 50_000, "1"),
        ("IMAGINE_TOKEN" + "X" * 50_000, "1"),
        ("IMAGINE_" + RED, "1"),
    ],
    ids=lambda text: repr(text[:24]),
)
def test_odd_variables(
    name: str, value: str, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    complaint(["jobs", "list"], capsys)


@pytest.mark.parametrize("token", ["a\nb", LONG[:5_000], "é"], ids=["lines", "long", "letters"])
def test_what_is_no_token(token: str, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISCORD_TOKEN", token)
    said = complaint(["serve"], capsys)
    assert token not in said


@pytest.mark.parametrize("option", ["--seed", "--steps", "--guidance", "--count", "--index"])
@pytest.mark.parametrize(
    "number", [DIGITS, "9" * 900, "1e999", LONG, RED], ids=lambda text: repr(text[:6])
)
def test_odd_numbers_as_arguments(option: str, number: str, capsys: Capture) -> None:
    complaint(["draw", "x", option, number], capsys)


@pytest.mark.parametrize(
    "option", ["--size", "--sampler", "--spacing", "--negative", "--lora", "--model", "--out"]
)
@pytest.mark.parametrize(
    "text", [LONG, RED, "a\0b", LONG_PATH, f"{DIGITS}x{DIGITS}"], ids=lambda text: repr(text[:6])
)
def test_odd_texts_as_arguments(option: str, text: str, capsys: Capture) -> None:
    if option == "--out" and text == RED:
        text += "\0"  # by itself it can be a folder's name
    complaint(["draw", "x", option, text], capsys)


@pytest.mark.parametrize(
    "argv",
    [
        [LONG],
        [RED],
        [f"-{LONG}"],
        ["draw", f"--{LONG}"],
        ["draw", "x", f"--{LONG}=1"],
        ["draw", "x", f"--{RED}"],
        ["draw", LONG],
        ["draw", NO_TEXT],
        ["jobs", LONG],
        ["jobs", "list", LONG],
        ["jobs", "list", "--limit", DIGITS],
        ["jobs", "list", "--state", LONG],
        ["jobs", "list", "--user", NO_TEXT],
        ["jobs", "show", LONG],
        ["jobs", "show", NO_TEXT],
        ["jobs", "cancel", RED],
        ["backup", LONG],
        ["backup", "a\0b"],
        ["ledger", "move", LONG, "there"],
        ["ledger", "move", "a\0b", "there"],
        ["ledger", "move", f"postgresql://{LONG}", "there"],
        ["ledger", "move", f"postgresql://{RED}/a", "there"],
        ["playground", "--port", DIGITS],
        ["playground", "--once", LONG],
    ],
    ids=lambda argv: repr(" ".join(argv)[:24]),
)
def test_odd_words(argv: list[str], capsys: Capture) -> None:
    complaint(argv, capsys)
