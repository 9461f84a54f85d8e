#!/usr/bin/env bash
# Ray Serve 2.60.0 (Python 3.11): with RAY_SERVE_USE_GRPC_BY_DEFAULT=1, which is there to make calls between a handle and
# a replica quicker, what they may carry is much smaller: an argument or an answer of 5 MB, which passes without it, raises
# an error with "larger than max". RAY_SERVE_REPLICA_GRPC_MAX_MESSAGE_LENGTH lifts that.
#
# Seen:
#   by reference: 5000000 came, 5000000 went
#   by gRPC: AioRpcError, AioRpcError
#   by gRPC, any length: 5000000 came, 5000000 went
#
# What it means for a program whose answers are pictures: with the one variable set the other, for the replicas too.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet "ray[serve]==2.60.0"
cat >"$folder/length.py" <<'PYTHON'
import sys

import ray
from ray import serve

SIZE = 5_000_000
how, folder = sys.argv[1:]
ray.init("local", num_cpus=2, include_dashboard=False, logging_level="ERROR", _temp_dir=folder)


@serve.deployment(ray_actor_options={"num_cpus": 0.1})
class Store:
    def give(self) -> bytes:
        return bytes(SIZE)

    def take(self, what: bytes) -> int:
        return len(what)


serve.start(proxy_location="Disabled")
handle = serve.run(Store.bind(), route_prefix=None, logging_config={"log_level": "ERROR"})
seen = []
for word, call in (
    ("came", lambda: len(handle.give.remote().result())),
    ("went", lambda: handle.take.remote(bytes(SIZE)).result()),
):
    try:
        seen.append(f"{call()} {word}")
    except Exception as error:
        assert "larger than max" in str(error), error
        seen.append(type(error).__name__)
print(f"{how}: {', '.join(seen)}", flush=True)
serve.shutdown()
ray.shutdown()
PYTHON
run() { timeout 200 "$folder/venv/bin/python" "$folder/length.py" "$1" "$folder/ray" 2>"$folder/said" | grep -a "^by" | tee -a "$folder/seen"; }
run "by reference"
export RAY_SERVE_USE_GRPC_BY_DEFAULT=1
run "by gRPC"
export RAY_SERVE_REPLICA_GRPC_MAX_MESSAGE_LENGTH=2147483647
run "by gRPC, any length"
printf '%s\n' "by reference: 5000000 came, 5000000 went" "by gRPC: AioRpcError, AioRpcError" \
  "by gRPC, any length: 5000000 came, 5000000 went" | diff - "$folder/seen"
