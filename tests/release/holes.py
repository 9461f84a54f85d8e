"""`make audit`: whether what the lock files pin has holes that the Python advisories know of.

Without a network nobody can say: that is a warning, and no failure. What is found is one.

    python -m tests.release.holes
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
_PATIENCE_S: Final = 120
_ANSWER_S: Final = "10"  # of one question to the advisories


def found(report: str) -> Iterator[str]:
    """A line for each hole in a report of pip-audit's."""
    for one in json.loads(report)["dependencies"]:
        for hole in one.get("vulns", ()):
            mended = ", ".join(hole["fix_versions"]) or "no version yet"
            yield f"{one['name']} {one['version']}: {hole['id']}, mended in {mended}"


def unknown(report: str) -> Iterator[str]:
    """The names of what nobody knew, whose holes would not be known either."""
    yield from (one["name"] for one in json.loads(report)["dependencies"] if "skip_reason" in one)


def audit(lock: Path) -> str | None:
    """What pip-audit reports of what a lock file pins; None: nobody could be asked."""
    words = ["--disable-pip", "--require-hashes", "--format", "json", "--progress-spinner", "off"]
    try:
        done = subprocess.run(  # noqa: S603 - our own words
            [sys.executable, "-m", "pip_audit", *words, "--timeout", _ANSWER_S, "-r", str(lock)],
            capture_output=True,
            text=True,
            timeout=_PATIENCE_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return None
    return done.stdout if done.stdout.startswith("{") else None


def main() -> int:
    """Say what was found; 1 if that was anything."""
    holes, unasked = set[str](), set[str]()
    for lock in sorted(ROOT.glob("requirements*.lock")):
        report = audit(lock)
        if report is None:
            sys.stdout.write(
                f"warning: nobody could be asked about {lock.name}. Ask again with a network.\n"
            )
            break  # the others would wait as long for nothing
        holes.update(found(report))
        unasked.update(unknown(report))
    if unasked:
        sys.stdout.write(
            f"warning: of {len(unasked)} packages nobody knows whether they have holes, such as "
            f"{min(unasked)}. Ask again where the public advisories can be reached.\n"
        )
    for hole in sorted(holes):
        sys.stdout.write(f"{hole}\n")
    return 1 if holes else 0


if __name__ == "__main__":
    sys.exit(main())
