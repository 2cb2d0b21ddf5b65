"""An Inspect task without a scorer: run_inspect.py URL ROWS OUT CONCURRENCY"""
import json
import sys

from inspect_ai import Task, eval
from inspect_ai.dataset import MemoryDataset, Sample
from inspect_ai.solver import generate

url, rows, out, concurrency = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
with open(rows) as f:
    samples = [Sample(input=json.loads(line)["prompt"]) for line in f]
logs = eval(Task(dataset=MemoryDataset(samples), solver=generate()), model="openai/sim-large",
            model_base_url=url + "/v1", max_connections=concurrency, max_samples=concurrency, log_dir=out,
            display="none")
sys.exit(0 if logs[0].status == "success" else str(logs[0].error))
