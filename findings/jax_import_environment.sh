#!/usr/bin/env bash
# jax 0.10.2 (Python 3.11, Linux) changes the environment when it is imported on a machine without a TPU:
# it sets TPU_SKIP_MDS_QUERY=1 and, where it is not set, TF_CPP_MIN_LOG_LEVEL=1, which every process
# started afterwards inherits. One would expect an import to set nothing; a test that holds "importing us
# leaves os.environ alone" meets it.
#
# Seen: {'TF_CPP_MIN_LOG_LEVEL': '1', 'TPU_SKIP_MDS_QUERY': '1'}
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet "jax==0.10.2" "jaxlib==0.10.2"
env -u TPU_SKIP_MDS_QUERY -u TF_CPP_MIN_LOG_LEVEL JAX_PLATFORMS=cpu "$folder/venv/bin/python" - <<'PYTHON'
import os

before = dict(os.environ)
import jax  # noqa: F401

added = {name: text for name, text in os.environ.items() if before.get(name) != text}
print(added)
assert added == {"TF_CPP_MIN_LOG_LEVEL": "1", "TPU_SKIP_MDS_QUERY": "1"}, added
PYTHON
