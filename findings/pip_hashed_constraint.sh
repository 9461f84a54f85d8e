#!/usr/bin/env bash
# pip 24.2 (Python 3.11): a constraints file whose lines hold hashes switches the whole install to
# hash-checking mode, as --require-hashes would, though constraints only say which version a requirement
# may have. A requirement that the file does not name is then refused for want of a hash. One would
# expect hashes there to bind what they stand beside.
#
# Seen: exit 1, "Hashes are required in --require-hashes mode"
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet "pip==24.2"
"$folder/venv/bin/pip" download --quiet --no-deps -d "$folder/six" "six==1.17.0"
hash=$("$folder/venv/bin/pip" hash "$folder"/six/*.whl | sed -n 's/^--hash=//p')
echo "six==1.17.0 --hash=$hash" >"$folder/constraints.txt"
# Without hashes it is installed; with them, in a file that does not concern it, it is refused.
echo "six==1.17.0" >"$folder/bare.txt"
"$folder/venv/bin/pip" install --quiet --constraint "$folder/bare.txt" "idna==3.11"
"$folder/venv/bin/pip" uninstall --quiet --yes idna
if "$folder/venv/bin/pip" install --quiet --constraint "$folder/constraints.txt" "idna==3.11" 2>"$folder/said"; then
    echo "it was installed: this has changed"
    exit 1
fi
grep -o "Hashes are required in --require-hashes mode" "$folder/said" | head -n 1
