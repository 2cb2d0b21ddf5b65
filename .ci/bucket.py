"""Runs the quickstart into a bucket of versitygw and reads it there with pyarrow and DuckDB, without nightshift."""
import os
import socket
import subprocess
import sys
import tempfile
import time

import duckdb
import pyarrow.dataset
import pyarrow.fs

nightshift, versitygw = sys.argv[1:]
with socket.socket() as s:
    s.bind(("127.0.0.1", 0))
    address = f"127.0.0.1:{s.getsockname()[1]}"
store, work = tempfile.TemporaryDirectory(), tempfile.TemporaryDirectory()
os.mkdir(f"{store.name}/runs")
server = subprocess.Popen([versitygw, "--port", address, "--quiet", "posix", store.name],
                          env=os.environ | {"ROOT_ACCESS_KEY": "test-id", "ROOT_SECRET_KEY": "test-secret"})
try:
    for _ in range(300):  # half a minute
        try:
            socket.create_connection(tuple(address.split(":")), 1).close()
            break
        except OSError:
            time.sleep(0.1)
    os.environ |= {"AWS_ENDPOINT_URL_S3": f"http://{address}", "AWS_ACCESS_KEY_ID": "test-id",
                   "AWS_SECRET_ACCESS_KEY": "test-secret", "AWS_REGION": "us-east-1"}
    subprocess.run([nightshift, "run", "examples/quickstart/plan.yaml", "-q", "--out", "s3://runs/quickstart",
                    "--work-dir", f"{work.name}/run"], check=True, stdout=subprocess.DEVNULL)
    s3 = pyarrow.fs.S3FileSystem(endpoint_override=os.environ["AWS_ENDPOINT_URL_S3"])
    answers = pyarrow.dataset.dataset("runs/quickstart/results", filesystem=s3).to_table()
    scores = pyarrow.dataset.dataset("runs/quickstart/scores", filesystem=s3).to_table()
    rows, scored, models = duckdb.sql("select count(*), count(value), count(distinct model) from answers "
                                      "join scores using (model, row, epoch)").fetchall()[0]
    assert rows == answers.num_rows == scores.num_rows == 526 and models == 2, (rows, answers.num_rows, scores.num_rows)
    print(f"{rows} answers of {models} models and {scored} scores, read from the bucket")
finally:
    server.kill()
    server.wait()
