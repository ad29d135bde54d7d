"""Opens a store's parts and catalog with other readers and prints what they see as JSON."""

import glob
import json
import os
import sys

import duckdb
import pyarrow.parquet as parquet

data_dir = sys.argv[1]
files = glob.glob(f"{data_dir}/objects/logs/**/*.parquet", recursive=True)
seen = {"files": len(files)}
tables = [parquet.ParquetFile(file).read() for file in files]
seen["pyarrow_rows"] = sum(table.num_rows for table in tables)
seen["pyarrow_bodies"] = sorted(body for table in tables for body in table.column("body").to_pylist())[:3]

connection = duckdb.connect(config={"allow_unsigned_extensions": "true"})
rows = connection.execute(f"SELECT count(*), sum(severity_number) FROM read_parquet('{data_dir}/objects/logs/*/*/*.parquet')")
seen["duckdb_rows"], seen["duckdb_severities"] = rows.fetchone()
for name in ("sqlite_scanner", "ducklake"):
    module = __import__(f"duckdb_extension_{name}")
    [extension] = glob.glob(os.path.dirname(module.__file__) + "/**/*.duckdb_extension", recursive=True)
    connection.execute(f"INSTALL '{extension}'")
    connection.execute(f"LOAD {name}")
connection.execute(f"ATTACH 'ducklake:sqlite:{data_dir}/catalog.db' AS lake (READ_ONLY)")
seen["lake_rows"] = connection.execute("SELECT count(*) FROM lake.logs").fetchone()[0]
seen["lake_odd"] = connection.execute("SELECT count(*) FROM lake.logs WHERE attributes['parity'] = 'odd'").fetchone()[0]
seen["lake_services"] = connection.execute("SELECT service_name, count(*) FROM lake.logs GROUP BY 1 ORDER BY 1").fetchall()
print(json.dumps(seen))
