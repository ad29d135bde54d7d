"""DuckDB with what it needs to read a store's catalog."""

import glob
import os

import duckdb


def attach(data_dir):
    """Gives a connection to which the catalog of this data folder is attached as `lake`."""
    connection = duckdb.connect(config={"allow_unsigned_extensions": "true"})
    for name in ("sqlite_scanner", "ducklake"):
        module = __import__(f"duckdb_extension_{name}")
        [extension] = glob.glob(os.path.dirname(module.__file__) + "/**/*.duckdb_extension", recursive=True)
        connection.execute(f"INSTALL '{extension}'")
        connection.execute(f"LOAD {name}")
    connection.execute(f"ATTACH 'ducklake:sqlite:{data_dir}/catalog.db' AS lake (READ_ONLY)")
    return connection
