#!/usr/bin/env bash
# pytest-xdist 3.8.0 with pytest 9.2.0 (Python 3.11): --dist loadgroup overlooks every xdist_group mark,
# without a word. Tests of one group are spread over the workers, so that what they share is made in
# each. One would expect one worker a group, or an error. (pytest-xdist's issue 1386.)
#
# Seen: 2 workers ran the 20 tests of one group.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet "pytest==9.2.0" "pytest-xdist==3.8.0"
mkdir "$folder/tests" "$folder/seen"
cat >"$folder/tests/test_group.py" <<'PYTHON'
import os
from pathlib import Path

import pytest


@pytest.mark.xdist_group("one")
@pytest.mark.parametrize("number", range(20))
def test_in_one_group(number: int) -> None:
    Path(os.environ["SEEN"], os.environ["PYTEST_XDIST_WORKER"]).touch()
PYTHON
cd "$folder/tests"
SEEN="$folder/seen" "$folder/venv/bin/python" -m pytest -q -n 2 --dist loadgroup >/dev/null
workers=$(find "$folder/seen" -type f | wc -l)
echo "$workers workers ran the 20 tests of one group."
test "$workers" -eq 2
