"""The version, the changelog and `imagine --version` tell the same."""

import datetime as dt
import re
import tomllib
from itertools import pairwise
from pathlib import Path

ROOT = Path(__file__).parents[2]
RELEASE = re.compile(r"## (\d+)\.(\d+)\.(\d+) \((\d{4}-\d\d-\d\d)\)")


def test_the_newest_release_in_the_changelog_is_the_version() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    headings = [line for line in text.splitlines() if line.startswith("## ")]
    if headings[0] == "## Unreleased":
        headings = headings[1:]
    releases = []
    for heading in headings:
        match = RELEASE.fullmatch(heading)
        assert match is not None, heading
        *version, date = match.groups()
        releases.append((tuple(map(int, version)), dt.date.fromisoformat(date)))
    for (newer, later), (older, earlier) in pairwise(releases):
        assert newer > older
        assert later >= earlier
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["version"] == ".".join(map(str, releases[0][0]))
