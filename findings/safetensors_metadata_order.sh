#!/usr/bin/env bash
# safetensors 0.8.0: `safe_open(...).metadata()` returns a dict whose order is another one in each process,
# though the header in the file is one JSON text with one order. Whatever is made of it in order (a table, the
# cases of a test that two processes collect) differs from run to run. One would expect a dict that was read
# from a file to be in the file's order.
#
# Seen: eight processes, one file, more than one order
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet "safetensors==0.8.0" "numpy==2.3.5"
cat >"$folder/order.py" <<'PYTHON'
import sys

import numpy
from safetensors import safe_open
from safetensors.numpy import save_file

path = sys.argv[1]
if sys.argv[2:] == ["write"]:
    save_file({"x": numpy.zeros(1)}, path, {f"key {number}": str(number) for number in range(9)})
with safe_open(path, "numpy") as file:
    print(",".join(file.metadata()))
PYTHON
"$folder/venv/bin/python" "$folder/order.py" "$folder/it.safetensors" write >"$folder/orders"
for _ in 1 2 3 4 5 6 7; do
    "$folder/venv/bin/python" "$folder/order.py" "$folder/it.safetensors" >>"$folder/orders"
done
count=$(sort -u "$folder/orders" | wc -l)
echo "eight processes, one file, $count orders"
[ "$count" -gt 1 ] || { echo "this has changed"; exit 1; }
