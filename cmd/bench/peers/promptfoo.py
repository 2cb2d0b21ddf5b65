"""Writes promptfoo's configuration: promptfoo.py URL ROWS OUT"""
import json
import sys

url, rows, out = sys.argv[1:]
with open(rows) as f:
    tests = [{"vars": {"prompt": json.loads(line)["prompt"]}} for line in f]
json.dump({
    "prompts": ["{{prompt}}"],
    "providers": [{"id": "openai:chat:sim-large", "config": {"apiBaseUrl": url + "/v1", "max_tokens": 1024}}],
    "tests": tests,
}, open(out, "w"))
