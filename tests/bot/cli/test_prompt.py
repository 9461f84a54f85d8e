"""`imagine prompt`: how a text is read, by the embedded model's tokenizers."""

import json
import sys

import pytest

from bot.cli.main import main

Capture = pytest.CaptureFixture[str]


def test_everything_in_one(capsys: Capture) -> None:
    words = "a (red:1.3) {cat|dog}, [big] [circle:square:0.5] BREAK star --ar 16:9 --v 6"
    assert main(["prompt", f"{words} <lora:rocket:0.5>", "--steps=10"]) == 0
    out = capsys.readouterr().out
    assert out.startswith(
        "Left out of the prompt, as nobody here knows it: --v 6.\n"
        "Flags: aspect 16:9\n"
        "LoRAs: rocket:0.5\n"
        "2 prompts in one:\n"
        "a (red:1.3) cat, [big] [circle:square:0.5] BREAK star\n"
        "  steps 1 to 5\n"
        "    chunk 1 of 2, 6 of 75 tokens\n"
        "    a red:1.3 cat , big:0.909 circle\n"
        "    chunk 2 of 2, 1 of 75 tokens\n"
        "    star\n"
        "  steps 6 to 10\n"
    )
    assert "a red:1.3 dog , big:0.909 square\n" in out
    assert "\x1b" not in out


def test_in_colour_on_a_terminal(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert main(["prompt", "(red:1.6) (cat:1.1) [star] (dog:0.5)"]) == 0
    line = capsys.readouterr().out.splitlines()[-1]
    assert line.count("\x1b[0m") == 4
    assert len({part.partition("m")[0] for part in line.split("\x1b[")[1:]} - {"0"}) == 4
    monkeypatch.setenv("NO_COLOR", "1")
    assert main(["prompt", "(red:1.6)"]) == 0
    assert "\x1b" not in capsys.readouterr().out


def test_what_stands_behind_an_end_is_shown(capsys: Capture) -> None:
    assert main(["prompt", "a <|endoftext|> cat"]) == 0
    assert capsys.readouterr().out.endswith("  3 of 75 tokens\n  a <|endoftext|> cat\n")


def test_in_a_style(capsys: Capture) -> None:
    assert main(["prompt", "a {red|blue} (cat --style Neon-Noir"]) == 0
    unclosed, *lines = capsys.readouterr().out.splitlines()
    assert unclosed.startswith("A bracket is never closed")
    assert lines[:2] == ["Flags: style Neon-Noir", "2 prompts in one:"]
    assert lines[2].startswith("a red (cat), night, rain")
    assert "cat:1.1 , night" in lines[4]
    assert main(["prompt", "a cat --style noir"]) == 2
    assert "There is no style 'noir' here. There are: photograph," in capsys.readouterr().err


def test_as_one_object(capsys: Capture) -> None:
    assert main(["prompt", "--json", "a (cat:1.25) --seed 3"]) == 0
    report = json.loads(capsys.readouterr().out)
    (request,) = report["requests"]
    (span,) = request["spans"]
    assert (span["first_step"], span["last_step"], request["room"]) == (1, 20, 75)
    assert [(one["text"], one["weight"]) for one in span["chunks"][0]] == [("a", 1), ("cat", 1.25)]
    assert report["flags"] == {"seed": 3}
    assert report["left_out"] == []


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("red " * 400, "400 tokens long; this model reads 300 here. Shorten it"),
        ("(" * 1000 + "red", "'red' has a weight of 2.47e+41"),
        ("--seed x", "--seed needs a whole number"),
        ("{a|b}" * 9, "The braces in this prompt stand for 512 prompts"),
        ("a" * 5000, "5,000 characters long; the limit is 4,000"),
        ("   ", "The prompt is empty"),
        ("x --steps 99", "number of steps must lie between 1 and 50"),
    ],
)
def test_what_could_not_be_drawn_is_said(text: str, sentence: str, capsys: Capture) -> None:
    assert main(["prompt", "--", text]) == 2
    assert sentence in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "words"),
    [("a (b:1.3", "A bracket is never closed"), ("(a [b", "2 brackets are never closed")],
)
def test_brackets_that_are_never_closed_are_said(text: str, words: str, capsys: Capture) -> None:
    assert main(["prompt", text]) == 0
    assert words in capsys.readouterr().out
    assert main(["prompt", r"a \(b (c:1.3)"]) == 0
    assert "never closed" not in capsys.readouterr().out
