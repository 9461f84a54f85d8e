"""deploy/: what can be known of the container file and the systemd unit without starting either."""

import json
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Final

import pytest

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
CLASSIFIERS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"][
    "classifiers"
]

DEFAULTS = tomllib.loads((ROOT / "config.toml").read_text(encoding="utf-8"))

# The container file -------------------------------------------------------------------------------

_WORDS: Final = {
    *("ARG", "CMD", "COPY", "ENTRYPOINT", "ENV", "FROM", "HEALTHCHECK", "RUN", "STOPSIGNAL"),
    *("USER", "VOLUME", "WORKDIR"),
}
_EXEC_FORM: Final = {"CMD", "ENTRYPOINT", "RUN", "VOLUME"}


def instructions() -> list[tuple[str, str]]:
    """Each instruction and what stands behind it, lines that go on joined."""
    text = (DEPLOY / "Containerfile").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines)).splitlines()
    return [(word, rest) for word, _, rest in (line.partition(" ") for line in joined) if word]


def test_every_instruction_can_be_read() -> None:
    words = [word for word, _ in instructions()]
    assert words[0] == "FROM"
    assert set(words) <= _WORDS
    for word, rest in instructions():
        # A list of texts: no shell stands between, which would keep SIGTERM to itself.
        command = rest.partition("CMD ")[2] if word == "HEALTHCHECK" else rest
        if word in _EXEC_FORM | {"HEALTHCHECK"}:
            parts = json.loads(command)
            assert parts
            assert all(isinstance(part, str) for part in parts)


def test_what_is_copied_is_there_and_holds_no_secret() -> None:
    for word, rest in instructions():
        assert "TOKEN" not in rest
        if word == "COPY" and not rest.startswith("--from="):
            for source in rest.split()[:-1]:
                assert (ROOT / source).exists(), source
                assert source != "."


def test_it_stands_on_a_python_that_we_name_and_on_the_lock() -> None:
    bases = {rest.split()[0] for word, rest in instructions() if word == "FROM"}
    [base] = bases
    match = re.fullmatch(r"python:(3\.\d+)-slim", base)
    assert match is not None
    assert f"Programming Language :: Python :: {match[1]}" in CLASSIFIERS
    libraries = [
        rest for word, rest in instructions() if word == "RUN" and "requirements.lock" in rest
    ]
    assert len(libraries) == 1
    assert "--require-hashes" in json.loads(libraries[0])


def test_the_bot_runs_as_nobody_in_particular_and_its_health_is_asked() -> None:
    last = dict(instructions())  # the last of each
    assert last["USER"] == "10001:10001"
    assert last["STOPSIGNAL"] == "SIGTERM"
    assert json.loads(last["ENTRYPOINT"]) == ["/opt/imagine/bin/imagine"]
    assert json.loads(last["CMD"]) == ["serve"]
    [volume] = json.loads(last["VOLUME"])
    assert last["WORKDIR"] == volume
    for setting in last["ENV"].split():
        assert setting.partition("=")[2].startswith(f"{volume}/")
    assert f"http://127.0.0.1:{DEFAULTS['health']['port']}/livez" in last["HEALTHCHECK"]


# The unit -----------------------------------------------------------------------------------------


def unit(name: str) -> dict[str, dict[str, list[str]]]:
    """Sections, keys, and the values of each in order."""
    sections: dict[str, dict[str, list[str]]] = {}
    for line in (DEPLOY / name).read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            section = sections.setdefault(line.strip("[]"), {})
        elif line and not line.startswith("#"):
            key, _, value = line.partition("=")
            section.setdefault(key, []).append(value)
    return sections


def test_a_stop_lasts_longer_than_the_bots_own_grace() -> None:
    service = unit("imagine-bot.service")["Service"]
    assert service["KillSignal"] == ["SIGTERM"]
    # Beside the grace: 10 s for the last edits of the cards, 5 s for the engine.
    assert int(service["TimeoutStopSec"][0]) > DEFAULTS["jobs"]["shutdown_grace_s"] + 15


def test_the_records_are_where_the_unit_has_a_folder() -> None:
    service = unit("imagine-bot.service")["Service"]
    assert service["StateDirectory"] == ["imagine-bot"]
    assert service["WorkingDirectory"] == ["%S/imagine-bot"]
    assert "IMAGINE_STORAGE__FOLDER=%S/imagine-bot/data" in service["Environment"]
    assert not any("TOKEN" in setting for setting in service["Environment"])


@pytest.fixture(params=["alone", "with an accelerator"])
def unit_path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """The unit with a program that is there, with or without what a chip needs."""
    path = tmp_path / "imagine-bot.service"
    text = (DEPLOY / path.name).read_text(encoding="utf-8")
    program = "ExecStart=/opt/imagine-bot/.venv/bin/imagine serve"
    assert program in text
    path.write_text(text.replace(program, f"ExecStart={sys.executable}"), encoding="utf-8")
    if request.param != "alone":
        shutil.copytree(DEPLOY / "imagine-bot.service.d", tmp_path / "imagine-bot.service.d")
    return path


def analyze(*arguments: str | Path) -> str:
    """What systemd-analyze says of a unit that it finds nothing wrong with."""
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("systemd-analyze is not here (Debian: apt-get install systemd)")
    done = subprocess.run(  # noqa: S603 - found on the PATH
        [program, *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_systemd_understands_the_unit(unit_path: Path) -> None:
    said = analyze("verify", "--man=no", unit_path)
    assert unit_path.name not in said


def test_systemd_finds_little_that_an_intruder_could_use(unit_path: Path) -> None:
    analyze("security", "--offline=true", "--no-pager", "--threshold=20", unit_path)
