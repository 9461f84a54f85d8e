"""List what the bot was asked for lately, with what came of it.

python examples/latest.py 5
"""

import json
import subprocess
import sys
from typing import TypedDict, cast


class Job(TypedDict):
    """Some of what `imagine jobs list --json` tells of a job."""

    job: str
    state: str
    asked_at: str
    prompt: str
    images: list[str]


def latest(count: int) -> list[Job]:
    """The newest jobs on record, the newest first; CalledProcessError where there is no record."""
    command = [sys.executable, "-m", "bot", "jobs", "list", "--json", "--limit", str(count)]
    listing = subprocess.run(command, check=True, stdout=subprocess.PIPE)  # noqa: S603 - our own command
    return cast("list[Job]", json.loads(listing.stdout))


if __name__ == "__main__":
    try:
        jobs = latest(int(sys.argv[1]))
    except subprocess.CalledProcessError as error:  # it has said why
        sys.exit(error.returncode)
    for job in jobs:
        pictures = ", ".join(job["images"]) or "no pictures"
        print(f"{job['asked_at']}  {job['job']}  {job['state']}  {job['prompt']}: {pictures}")
