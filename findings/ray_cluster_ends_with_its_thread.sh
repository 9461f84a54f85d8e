#!/usr/bin/env bash
# Ray 2.60.0 (Python 3.11): the cluster that `ray.init("local")` starts lives as long as the thread that called it, not as
# long as the process. Called on a thread that ends (one of a pool that is shut down, such as that of a first
# `asyncio.run`), its processes end with it, though the program goes on; the next call waits for them for a minute.
#
# Seen: "0 processes of the cluster are left".
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet "ray==2.60.0" "psutil==7.1.3"
cat > "$folder/thread.py" <<'PYTHON'
import os
import threading
import time

import psutil
import ray


def cluster():
    children = psutil.Process().children(recursive=True)
    return [one for one in children if one.status() != psutil.STATUS_ZOMBIE]


def join():
    ray.init("local", num_cpus=1, include_dashboard=False, logging_level="ERROR")
    assert cluster()


thread = threading.Thread(target=join)
thread.start()
thread.join()
for _ in range(100):
    if cluster():
        time.sleep(0.1)
print(len(cluster()), "processes of the cluster are left", flush=True)
os._exit(0)
PYTHON
python="$folder/venv/bin/python"
timeout 200 "$python" "$folder/thread.py" 2> /dev/null | tee "$folder/seen"
grep -q "^0 processes" "$folder/seen"
