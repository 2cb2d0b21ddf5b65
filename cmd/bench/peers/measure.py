"""Runs one client and prints its row: measure.py ROWS LOG NAME OUT COMMAND..."""
import os
import resource
import subprocess
import sys
import time

rows, log, name, out, command = int(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4], sys.argv[5:]


def files(path):
    if os.path.isfile(path):
        return [path]
    return [os.path.join(d, f) for d, _, names in os.walk(path) for f in names]


KEPT = {
    "nightshift": "Parquet: answers, usage, cost, raw bodies, attempts; reports; resumable",
    "openai": "a line of prompt and text for each, written when the process got to it",
    "litellm": "a line of prompt and text for each, written when the process got to it",
    "saturate": "Parquet: prompt, text, tokens; resumable",
    "inspect-ai": "its log: conversations, usage, events",
    "bespokelabs-curator": "its cache: requests and responses; resumable",
    "batchllm-ai": "a line for each: text, tokens, latency",
    "evalscope": "SQLite: requests, responses, times",
    "promptfoo": "SQLite and JSON",
}

begun = time.monotonic()
with open(log, "w") as f:
    done = subprocess.run(command, stdout=f, stderr=f)
wall = time.monotonic() - begun
used = resource.getrusage(resource.RUSAGE_CHILDREN)  # of all that the client started
if done.returncode != 0 and not (name.startswith("promptfoo") and done.returncode == 100):
    print(f"skipped {name}: exit code {done.returncode}: {open(log).read()[-300:]}", file=sys.stderr)
    sys.exit(0)
size = sum(os.path.getsize(f) for f in files(out))
cpu = (used.ru_utime + used.ru_stime) / rows
print(f"| {name} | {rows / wall:,.0f} | {wall:.1f} s | {cpu * 1e6:,.0f} µs | {used.ru_maxrss // 1024} MiB "
      f"| {size / 1e6:.1f} MB in {len(files(out))} files | {KEPT[name.split()[0]]} |", flush=True)
