"""Counts the logs of a running store's catalog with DuckDB's DuckLake, again and again until its standard input ends.

Takes the data folder as its argument. Prints one JSON list for each look: the rows, those distinct among them by body, and the
sum of the severities, all of one query.
"""

import json
import sys
import threading

import lake

ended = threading.Event()
threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
connection = lake.attach(sys.argv[1])
last = False
while True:
    last = ended.is_set()
    answer = connection.execute("SELECT count(*), count(DISTINCT body), sum(severity_number) FROM lake.logs").fetchone()
    print(json.dumps([int(value or 0) for value in answer]), flush=True)
    if last:
        break
