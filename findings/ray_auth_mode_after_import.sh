#!/usr/bin/env bash
# Ray 2.60.0 (Python 3.11): with nothing set, `ray.init("local")` starts a cluster that wants a token, makes one, and
# joins. RAY_AUTH_MODE=token says no more than that; but set after `import ray`, before `ray.init`, it reaches the
# processes of the cluster and not the program that starts them. They refuse it, and the error says that they did not
# start.
#
# Seen, with a token in the home folder: not set: joined; set before the import: joined; set after it: "RuntimeError:
# Failed to start GCS." after a quarter of a minute, and "Authentication token is missing or incorrect" on stderr.
#
# What it means for a program: set RAY_AUTH_MODE before anything imports Ray, or not at all.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet "ray==2.60.0"
cat > "$folder/mode.py" <<'PYTHON'
import os
import sys

when, folder = sys.argv[1:]
if when == "before":
    os.environ["RAY_AUTH_MODE"] = "token"
import ray

if when == "after":
    os.environ["RAY_AUTH_MODE"] = "token"
try:
    ray.init("local", num_cpus=1, include_dashboard=False, logging_level="ERROR", _temp_dir=folder)
    print(f"{when}: joined")
except Exception as error:
    print(f"{when}: {type(error).__name__}: {str(error)[:20]}")
ray.shutdown()
PYTHON
# The first run leaves a token in the home folder, which the others find there.
export HOME="$folder/home"
mkdir "$HOME"
unset RAY_AUTH_MODE RAY_AUTH_TOKEN RAY_AUTH_TOKEN_PATH RAY_ADDRESS
for when in never before after; do
  timeout 150 "$folder/venv/bin/python" "$folder/mode.py" "$when" "$folder/$when" 2> "$folder/said" |
    tee -a "$folder/seen"
done
printf '%s\n' "never: joined" "before: joined" "after: RuntimeError: Failed to start GCS." | diff - "$folder/seen"
grep -q "Authentication token is missing or incorrect" "$folder/said"
