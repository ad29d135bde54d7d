"""Opens a store's parts with pyarrow and DuckDB, and its catalog with DuckDB's DuckLake; prints what they see as JSON.

Takes the data folder as its argument and a JSON list of questions in SQL on its standard input.
"""

import glob
import json
import sys

import lake
import pyarrow.parquet as parquet

data_dir = sys.argv[1]
questions = json.load(sys.stdin)
connection = lake.attach(data_dir)
seen = {"files": {}}

for table in ("logs", "spans", "metric_points"):
    pattern = f"{data_dir}/objects/{table}/*/*/*.parquet"
    files = glob.glob(pattern)
    tables = [parquet.ParquetFile(file).read() for file in files]
    for read in tables:
        read.validate(full=True)
    rows = connection.execute(f"SELECT count(*) FROM read_parquet('{pattern}')").fetchone()[0]
    seen["files"][table] = {
        "files": len(files),
        "pyarrow_rows": sum(read.num_rows for read in tables),
        "duckdb_rows": rows,
    }

connection.execute("USE lake")
seen["lake"] = [connection.execute(question).fetchall() for question in questions]
print(json.dumps(seen))
