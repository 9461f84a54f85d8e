#!/usr/bin/env bash
# jax 0.10.2 (Python 3.11, Linux, CPU) serialises an executable that came out of its persistent compilation
# cache (jax.experimental.serialize_executable) without a word; what is written does not load or run:
# functions are missing in it. One would expect it to work, or `serialize` to refuse, as it does elsewhere.
# The same program, compiled and not found in the cache, goes through both and runs.
#
# Seen: first start: runs; second: JaxRuntimeError: INTERNAL: Error dispatching computation: Function
# broadcast_divide_fusion not found (type id: 1)
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet "jax==0.10.2" "jaxlib==0.10.2"
cat > "$folder/start.py" <<'PYTHON'
import sys

import jax
import jax.numpy as jnp
from jax.experimental import serialize_executable

jax.config.update("jax_compilation_cache_dir", sys.argv[1])
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
x = jnp.linspace(0, 1, 64 * 64).reshape(64, 64)
compiled = jax.jit(lambda x: jax.nn.softmax(x @ x)).lower(x).compile()
jax.block_until_ready(compiled(x))  # the executable itself is well
written = serialize_executable.serialize(compiled)
try:
    loaded = serialize_executable.deserialize_and_load(*written)
    said = "runs" if (loaded(x) == compiled(x)).all() else "differs"
except jax.errors.JaxRuntimeError as error:
    said = f"JaxRuntimeError: {error}"
print(said)
assert said == "runs" if sys.argv[2] == "first" else "not found" in said, said
PYTHON
for start in first second; do
    JAX_PLATFORMS=cpu "$folder/venv/bin/python" "$folder/start.py" "$folder/cache" "$start"
done
