"""Reads a run directory's Parquet files with DuckDB and pyarrow and compares what they see."""
import glob
import json
import sys

import duckdb
import pyarrow.parquet as pq

run = sys.argv[1]
files = sorted(glob.glob(f"{run}/results/*.parquet"))
assert files, f"no Parquet files in {run}/results"

tables = [pq.read_table(f) for f in files]
arrow_rows = sum(t.num_rows for t in tables)
arrow_tokens = sum(v or 0 for t in tables for v in t["output_tokens"].to_pylist())

query = f"select count(*), sum(output_tokens), count(distinct (model, row, epoch)) from read_parquet({files!r})"
duck_rows, duck_tokens, distinct = duckdb.sql(query).fetchall()[0]

assert arrow_rows == duck_rows == distinct, (arrow_rows, duck_rows, distinct)
assert arrow_tokens == (duck_tokens or 0), (arrow_tokens, duck_tokens)
for column in ("tool_calls", "usage_raw", "attempt_log", "input", "metadata"):
    for t in tables:
        for value in t[column].to_pylist():
            if value is not None:
                json.loads(value)

summary = json.load(open(f"{run}/summary.json"))
print(f"{len(files)} Parquet files, {duck_rows} rows, {duck_tokens} output tokens: DuckDB and pyarrow agree; summary of {summary.get('name', run)!r} parses")
