#!/usr/bin/env bash
# CPython 3.11.7: `mmap.madvise(MADV_POPULATE_WRITE)`, and `mmap.mmap` with MAP_POPULATE, hold the interpreter's
# lock while the system clears the pages: for a third of a second a gigabyte no other thread of Python goes
# on. 3.13.0 lets go of it in `mmap.mmap`, and still not in `madvise`. One would expect a call that only waits
# for the system to let go of it, as reading a file does; the same call by ctypes does.
#
# Seen with 3.11.7: while it sleeps, another thread counts on; in both calls to less than a tenth of that
# What it means: whoever fills memory by several threads, as loading weights does, has them wait in line.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/venv"
cat >"$folder/lock.py" <<'PYTHON'
import ctypes
import mmap
import threading
import time

MADV_POPULATE_WRITE = 23  # Linux 5.14; `mmap` has no name for it
counted, stop = 0, False


def count() -> None:
    global counted
    while not stop:
        counted += 1


def pace(call) -> float:
    """How often the other thread counts in a second of it."""
    before, begin = counted, time.perf_counter()
    kept.append(call())
    return (counted - before) / (time.perf_counter() - begin)


kept, size, private = [], 2**30, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
one, other = mmap.mmap(-1, size, private), mmap.mmap(-1, size, private)
address = ctypes.addressof(ctypes.c_char.from_buffer(other))
populate = ctypes.CDLL(None).madvise
thread = threading.Thread(target=count)
thread.start()
paces = {
    "sleep": pace(lambda: time.sleep(0.3)),
    "mmap.mmap": pace(lambda: mmap.mmap(-1, size, private | mmap.MAP_POPULATE)),
    "mmap.madvise": pace(lambda: one.madvise(MADV_POPULATE_WRITE)),
    "by ctypes": pace(
        lambda: populate(ctypes.c_void_p(address), ctypes.c_size_t(size), MADV_POPULATE_WRITE)
    ),
}
stop = True
thread.join()
held = [name for name, one in paces.items() if one < paces["sleep"] / 10]
print("the other thread stood still in:", ", ".join(held))
assert held == ["mmap.mmap", "mmap.madvise"], paces
PYTHON
"$folder/venv/bin/python" "$folder/lock.py"
