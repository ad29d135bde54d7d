"""Opens a store's parts with pyarrow and DuckDB, and its catalog with DuckDB's DuckLake; prints what they see as JSON.

Takes the data folder as its argument and a JSON list of questions in SQL on its standard input.
"""

import glob
import json
import os
import sys

import duckdb
import pyarrow.parquet as parquet

data_dir = sys.argv[1]
questions = json.load(sys.stdin)
connection = duckdb.connect(config={"allow_unsigned_extensions": "true"})
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

for name in ("sqlite_scanner", "ducklake"):
    module = __import__(f"duckdb_extension_{name}")
    [extension] = glob.glob(os.path.dirname(module.__file__) + "/**/*.duckdb_extension", recursive=True)
    connection.execute(f"INSTALL '{extension}'")
    connection.execute(f"LOAD {name}")
connection.execute(f"ATTACH 'ducklake:sqlite:{data_dir}/catalog.db' AS lake (READ_ONLY)")
connection.execute("USE lake")
seen["lake"] = [connection.execute(question).fetchall() for question in questions]
print(json.dumps(seen))
