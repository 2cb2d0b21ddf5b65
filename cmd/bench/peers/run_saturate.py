"""saturate's pump, with as many requests in flight as the others: run_saturate.py URL ROWS OUT CONCURRENCY"""
import json
import sys

from saturate import Fixed, pump

url, rows, out, concurrency = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
with open(rows) as f:
    pump(
        (json.loads(line) for line in f),
        to_request=lambda row: {"model": "sim-large", "messages": [{"role": "user", "content": row["prompt"]}]},
        parse=lambda row, resp: {"prompt": row["prompt"], "text": resp["choices"][0]["message"]["content"],
                                 "input_tokens": resp["usage"]["prompt_tokens"],
                                 "output_tokens": resp["usage"]["completion_tokens"]},
        endpoint=url, output=out, window=Fixed(concurrency))
