"""Curator's LLM over a list of rows: run_curator.py URL ROWS OUT CONCURRENCY"""
import json
import sys

from bespokelabs import curator

url, rows, out, concurrency = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])


class Asker(curator.LLM):
    def prompt(self, row):
        return row["prompt"]

    def parse(self, row, response):
        return {"prompt": row["prompt"], "text": response}


with open(rows) as f:
    data = [json.loads(line) for line in f]
ask = Asker(model_name="openai/sim-large", backend="litellm", backend_params={
    "base_url": url + "/v1", "api_key": "none", "max_concurrent_requests": concurrency,
    "max_requests_per_minute": 10_000_000, "max_tokens_per_minute": 10_000_000_000})
ask(data, working_dir=out)
