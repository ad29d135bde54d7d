"""Counts the logs of a running store's catalog with DuckDB's DuckLake, again and again until its standard input ends.

Takes the data folder as its argument. Prints one JSON list for each look: the rows, those distinct among them by body, and the
sum of the severities, all of one query.
"""

import glob
import json
import os
import sys
import threading

import duckdb

ended = threading.Event()
threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
connection = duckdb.connect(config={"allow_unsigned_extensions": "true"})
for name in ("sqlite_scanner", "ducklake"):
    module = __import__(f"duckdb_extension_{name}")
    [extension] = glob.glob(os.path.dirname(module.__file__) + "/**/*.duckdb_extension", recursive=True)
    connection.execute(f"INSTALL '{extension}'")
    connection.execute(f"LOAD {name}")
connection.execute(f"ATTACH 'ducklake:sqlite:{sys.argv[1]}/catalog.db' AS lake (READ_ONLY)")
last = False
while True:
    last = ended.is_set()
    answer = connection.execute("SELECT count(*), count(DISTINCT body), sum(severity_number) FROM lake.logs").fetchone()
    print(json.dumps([int(value or 0) for value in answer]), flush=True)
    if last:
        break
