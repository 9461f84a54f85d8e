"""The command line: a sentence and a code for every mistake, and nothing imported too early."""

import json
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from bot.cli.main import COMMANDS, main
from tests.bot.cli.conftest import ENVIRONMENT

Capture = pytest.CaptureFixture[str]


@pytest.mark.parametrize(
    ("argv", "sentence"),
    [
        (["serve"], "There is no bot token"),
        (["serve", "--config", "absent.toml"], "There is no configuration file absent.toml"),
        (["draw", ""], "The prompt is empty"),
        (["draw", "p" * 5000], "The prompt is 5,000 characters long; the limit is 4,000"),
        (["draw", "a\u202eb"], "invisible control character"),
        (["draw", "x", "--guidance", "nan"], "The guidance must lie between 0 and 20, not nan"),
        (["draw", "x", "--steps", "0"], "The number of steps must lie between 1 and 50, not 0"),
        (["draw", "x", "--seed", "-1"], "The seed must lie between 0 and"),
        (["draw", "x", "--count", "11"], "The number of images must lie between 1 and 10, not 11"),
        (["draw", "x", "--index", "10"], "The first index must lie between 0 and 9, not 10"),
        (["draw", "x", "--index", "0", "--count", "2"], "leave --count out"),
        (["draw", "x", "--size", "huge"], "'huge' is not a size"),
        (["draw", "x", "--size", "100x64"], "must be a multiple of 8 pixels, not 100"),
        (["draw", "x", "--out", "/dev/null/x"], "The folder /dev/null/x cannot be made"),
        (["draw", "x", "--sampler", "huen"], "There is no sampler 'huen'. Choose one of: euler"),
        (["draw", "x", "--spacing", "exp"], "There is no spacing 'exp'. Choose one of: leading"),
        (["playground", "--once", ""], "The prompt is empty"),
        (["playground", "--demo", "--steps", "99"], "between 1 and 50, not 99"),
        (["playground", "--seed", "4"], "add --once PROMPT or --demo"),
        (["playground", "--once", "x", "--out", "/dev/null/x"], "cannot be made"),
        (["jobs", "list", "--limit", "0"], "--limit: it must be at least 1, not '0'"),
        (["jobs", "list", "--limit", "-3"], "--limit: it must be at least 1, not '-3'"),
    ],
)
def test_what_cannot_be_done_is_one_sentence_and_code_2(
    argv: list[str], sentence: str, capsys: Capture
) -> None:
    assert _complaint(argv, capsys).count(sentence) == 1


@pytest.mark.parametrize(
    ("argv", "sentence", "mend"),
    [
        ([], "The following arguments are required: COMMAND", "`imagine --help` shows"),
        (["dance"], "COMMAND: there is no 'dance'.", "There are: serve, playground, draw,"),
        (["drw", "x"], "COMMAND: there is no 'drw'.", "Did you mean draw?"),
        (["--config", "x", "draw"], "`imagine` has no option --config.", "its options after it"),
        (["draw"], "The following arguments are required: PROMPT", "`imagine draw --help` shows"),
        (["draw", "x", "--sed", "4"], "`imagine draw` has no option --sed.", "Did you mean --seed"),
        (["draw", "x", "--qqq=1"], "has no option --qqq.", "`imagine draw --help` shows"),
        (["models", "x", "--qqq=1"], "has no option --qqq.", "There are: --help, --config"),
        (["draw", "x", "--seed"], "--seed: expected one argument", "`imagine draw --help` shows"),
        (["draw", "x", "--seed", "y"], "--seed: 'y' is not a whole number.", "`imagine draw --he"),
        (["draw", "x", "--guidance", "y"], "--guidance: 'y' is not a number.", "`imagine draw --"),
        (["serve", "now"], "`imagine serve` takes no 'now'.", "Leave it out"),
        (["jobs"], "The following arguments are required: ACTION", "`imagine jobs --help` shows"),
        (["jobs", "lst"], "ACTION: there is no 'lst'.", "Did you mean list?"),
        (["jobs", "list", "--stat=x"], "--state: there is no 'x'.", "There are: queued, running"),
        (["jobs", "list", "--sate=x"], "`imagine jobs list` has no option", "Did you mean --state"),
        (["playground", "--port", "70000"], "--port: it must be at most 65,535", "--help` shows"),
        (["playground", "--port", "abc"], "--port: 'abc' is not a whole number", "--help` shows"),
        (["playground", "--once", "x", "--demo"], "not allowed with argument --once", "--help`"),
    ],
)
def test_what_is_not_understood_is_one_sentence_that_says_what_to_do(
    argv: list[str], sentence: str, mend: str, capsys: Capture
) -> None:
    complaint = _complaint(argv, capsys)
    assert complaint.startswith(f"imagine: {sentence}") or sentence in complaint
    assert mend in complaint[complaint.index(sentence) :]


def _complaint(argv: list[str], capsys: Capture) -> str:
    """What a command says that ends with code 2, on one line."""
    assert main(argv) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("imagine: ")
    assert err.count("\n") == 1
    return err


def test_a_broken_configuration_is_named(capsys: Capture) -> None:
    Path("config.toml").write_text("[engine]\nmodl = 1\n")
    assert "config.toml has a key 'modl' in [engine]" in _complaint(["serve"], capsys)


def test_each_command_has_its_help(capsys: Capture) -> None:
    for argv in ([], *([name] for name in COMMANDS)):
        with pytest.raises(SystemExit, match="0"):
            main([*argv, "--help"])
    out = capsys.readouterr().out
    assert all(f"usage: imagine {name}" in out for name in COMMANDS)
    assert all(about in out for about in COMMANDS.values())


# What a start waits for: each takes from a tenth of a second to seconds.
HEAVY = {"aiohttp", "discord", "flax", "jax", "numpy", "PIL", "tqdm", "transformers"}
IMPORTED = """
import json, sys
from contextlib import suppress
from bot.cli.main import main
for argv in json.loads(sys.argv[1]):
    with suppress(SystemExit):
        main(argv)
sys.stderr.write(json.dumps(sorted(sys.modules)))
"""


def _imported(*commands: list[str]) -> set[str]:
    done = subprocess.run(  # noqa: S603 - our own script
        [sys.executable, "-c", IMPORTED, json.dumps(commands)],
        env=dict(ENVIRONMENT),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout
    return set(json.loads(done.stderr))


def test_the_version_waits_for_nothing(capsys: Capture) -> None:
    assert not _imported(["--version"]) & (HEAVY | {"asyncio", "sqlite3"})
    with pytest.raises(SystemExit, match="0"):
        main(["--version"])
    assert capsys.readouterr().out == version("imagine-bot") + "\n"


def test_help_waits_for_nothing() -> None:
    assert not _imported(["--help"], *([name, "--help"] for name in COMMANDS)) & HEAVY


def test_slacks_manifest_rotates_tokens_where_it_is_said(capsys: Capture) -> None:
    for words, rotates in (([], False), (["--token-rotation"], True)):
        assert main(["slack", "manifest", *words]) == 0
        told = json.loads(capsys.readouterr().out)
        assert told["settings"]["token_rotation_enabled"] is rotates
