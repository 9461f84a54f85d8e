"""What `make audit` looks for: known holes in what is pinned, and secrets in what is tracked.

The shapes of secrets are a test of our own: the kept scanners know many more, guess at entropy, and
need a list of false alarms that grows with each checksum in a lock file.
"""

import json
import re
import subprocess
from pathlib import Path
from typing import Final

import pytest

from tests.release import holes

ROOT: Final = Path(__file__).parents[2]
SHAPES: Final = {
    "a Discord token": r"\b[MNO][\w-]{23,27}\.[\w-]{6}\.[\w-]{27,}\b",
    "a Discord webhook": r"discord(?:app)?\.com/api/webhooks/\d{17,}/[\w-]{60,}",
    "a Slack token": r"\bxox[abeoprs]-(?:\d{8,}-)+[0-9A-Za-z-]{10,}\b|\bxapp-\d-\w+-\d+-\w{20,}\b",
    "an AWS key": r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b",
    "a Hugging Face token": r"\bhf_[A-Za-z]{34}\b",
    "a GitHub token": r"\bgh[oprsu]_[0-9A-Za-z]{36}\b|\bgithub_pat_\w{60,}\b",
    "a Google key": r"\bAIza[0-9A-Za-z_-]{35}\b",
    "a PyPI token": r"\bpypi-AgE[\w-]{50,}\b",
    "a private key": r"-----BEGIN (?:[A-Z]+ )?PRIVATE KEY-----\s+[0-9A-Za-z+/=]{40,}",
}
# Made up, one a shape, in two halves: this file is looked at as well.
SECRETS: Final = {
    "a Discord token": "MTk4NjIyNDgzNDcxOTI1MjQ4" + ".Cl2FMQ." + "ZnCjm1XVW7vRze4b7Cq4se7kKWs",
    "a Discord webhook": "discord.com/api/" + "webhooks/199737254929760256/" + "a" * 68,
    "a Slack token": "xoxb-" + "123456789012-1234567890123-" + "abcdefghijklmnopqrstuvwx",
    "an AWS key": "AKIA" + "IOSFODNN7EXAMPLE",
    "a Hugging Face token": "hf_" + "a" * 34,
    "a GitHub token": "ghp_" + "a" * 36,
    "a Google key": "AIza" + "a" * 35,
    "a PyPI token": "pypi-AgE" + "a" * 60,
    "a private key": "-----BEGIN " + "PRIVATE KEY-----\n" + "A" * 64,
}
# What the log hides must look like one.
MADE_UP: Final = {"tests/bot/operations/test_log.py": ["a Discord token"]}


def secrets_in(text: str) -> list[str]:
    return [name for name, shape in SHAPES.items() if re.search(shape, text)]


def tracked() -> list[Path]:
    git = ["git", "-C", str(ROOT), "ls-files", "-z"]
    done = subprocess.run(git, capture_output=True, text=True, check=False)  # noqa: S603 - our own words
    if done.returncode:
        pytest.skip("no checkout: nothing says which files are tracked")
    return [ROOT / name for name in done.stdout.split("\0") if name]


@pytest.mark.parametrize("name", SHAPES)
def test_a_secret_is_known_by_its_shape(name: str) -> None:
    assert secrets_in(f'key = "{SECRETS[name]}"') == [name]


def test_no_secret_is_in_any_tracked_file() -> None:
    found = {}
    for path in tracked():
        if path.is_file():
            names = secrets_in(path.read_text(encoding="utf-8", errors="ignore"))
            if names:
                found[str(path.relative_to(ROOT))] = names
    assert found == MADE_UP


def report(*dependencies: dict[str, object]) -> str:
    return json.dumps({"dependencies": dependencies, "fixes": []})


HOLE: Final = {"id": "PYSEC-1", "fix_versions": ["2.1"], "aliases": [], "description": ""}
SOUND: Final = report({"name": "sound", "version": "1", "vulns": []})
LEAKY: Final = report(
    {"name": "leaky", "version": "2.0", "vulns": [HOLE, {**HOLE, "fix_versions": []}]}
)
UNKNOWN: Final = report({"name": "odd", "skip_reason": "Dependency not found"})


@pytest.mark.parametrize(
    ("answers", "code", "says"),
    [
        ((None,), 0, ["warning: nobody could be asked about requirements-cuda.lock"]),
        ((SOUND,) * 6, 0, []),
        ((SOUND, UNKNOWN, *(SOUND,) * 4), 0, ["warning: of 1 packages nobody knows", "odd"]),
        (
            (UNKNOWN, LEAKY, LEAKY, None),
            1,
            ["leaky 2.0: PYSEC-1, mended in 2.1", "mended in no version yet"],
        ),
    ],
)
def test_no_network_is_a_warning_and_a_hole_a_failure(
    answers: tuple[str | None, ...],
    code: int,
    says: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    left = iter(answers)
    monkeypatch.setattr(holes, "audit", lambda _: next(left))
    assert holes.main() == code
    out = capsys.readouterr().out
    assert all(one in out for one in says)
    assert bool(out) == bool(says)


def test_what_is_no_report_is_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """As without a network: pip-audit ends with 1, and with words where its report would be."""
    offline = subprocess.CompletedProcess([], 1, "", "ConnectionError")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: offline)
    assert holes.audit(ROOT / "requirements.lock") is None
