"""Reads Parquet files with pyarrow or DuckDB and prints, as JSON, a hash of
every column, made as hashColumns in hostile_test.go makes it.

usage: readback.py pyarrow|duckdb FILE...
"""

import hashlib
import json
import sys

import numpy as np


def pyarrow_table(files):
    import pyarrow as pa
    import pyarrow.parquet as pq

    return pa.concat_tables([pq.read_table(f) for f in files])


def duckdb_table(files):
    import duckdb

    con = duckdb.connect()
    con.execute("SET TimeZone='UTC'")
    con.execute("SET preserve_insertion_order=true")
    table = con.execute(
        "SELECT * FROM read_parquet(?, union_by_name=false) ORDER BY model, row, epoch",
        [files],
    )
    return table.to_arrow_table() if hasattr(table, "to_arrow_table") else table.fetch_arrow_table()


def column_hash(column):
    import pyarrow as pa
    import pyarrow.compute as pc

    t = column.type
    if pa.types.is_dictionary(t):
        t = t.value_type
        column = column.cast(t)
    valid = np.asarray(pc.is_valid(column).to_numpy(zero_copy_only=False), dtype=np.uint8)
    out = hashlib.sha256(valid.tobytes()).hexdigest()
    text = pa.types.is_string(t) or pa.types.is_large_string(t) or pa.types.is_binary(t) or pa.types.is_large_binary(t)
    if text:
        column = column.cast(pa.large_binary())
        values, lengths = hashlib.sha256(), hashlib.sha256()
        for chunk in column.chunks:
            for v in chunk.to_pylist():
                lengths.update((len(v) if v is not None else 0).to_bytes(8, "little"))
                if v is not None:
                    values.update(v)
        return out + values.hexdigest() + lengths.hexdigest()
    if pa.types.is_list(t) or pa.types.is_large_list(t):
        if not pa.types.is_float32(t.value_type):
            raise SystemExit(f"the list is {t}, want numbers of 32 bits")
        values, lengths = hashlib.sha256(), hashlib.sha256()
        for v in column.to_pylist():
            lengths.update((len(v) if v is not None else 0).to_bytes(8, "little"))
            if v is not None:
                values.update(np.asarray(v, dtype=np.float32).tobytes())
        return out + values.hexdigest() + lengths.hexdigest()
    column = column.drop_null()
    if pa.types.is_timestamp(t):
        if t.unit != "us" or t.tz is None:
            raise SystemExit(f"timestamp is {t}, want microseconds in UTC")
        numbers = column.cast(pa.int64()).to_numpy()
    elif pa.types.is_boolean(t):
        numbers = column.to_numpy().astype(np.int64)
    elif pa.types.is_floating(t):
        numbers = column.to_numpy().astype(np.float64)
    else:
        numbers = column.to_numpy().astype(np.int64)
    return out + hashlib.sha256(np.ascontiguousarray(numbers).tobytes()).hexdigest()


def main():
    reader, files = sys.argv[1], sys.argv[2:]
    table = {"pyarrow": pyarrow_table, "duckdb": duckdb_table}[reader](files)
    print(json.dumps({name: column_hash(table[name]) for name in table.column_names}))


main()
