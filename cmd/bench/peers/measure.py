"""Runs one client and prints its row: measure.py ROWS URL SECONDS LOG NAME OUT COMMAND...

How many answers it got is what the server at URL counted, whatever the client says.
"""
import json
import os
import resource
import signal
import subprocess
import sys
import time
import urllib.request

rows, url, most, log, name, out, command = (
    int(sys.argv[1]), sys.argv[2], float(sys.argv[3]), sys.argv[4], sys.argv[5], sys.argv[6], sys.argv[7:])


def files(path):
    if os.path.isfile(path):
        return [path]
    return [os.path.join(d, f) for d, _, names in os.walk(path) for f in names]


def counted():
    with urllib.request.urlopen(url + "/ledger") as answer:
        ledger = json.load(answer)
    return ledger["received"], ledger["delivered"]


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

before, begun = counted(), time.monotonic()
with open(log, "w") as f:
    client = subprocess.Popen(command, stdout=f, stderr=f, start_new_session=True)
    try:
        code = client.wait(timeout=most)
    except subprocess.TimeoutExpired:
        code = f"none within {most:.0f} s"
        os.killpg(client.pid, signal.SIGKILL)
        client.wait()
wall = time.monotonic() - begun
used = resource.getrusage(resource.RUSAGE_CHILDREN)  # of all that the client started
received, delivered = (after - b for after, b in zip(counted(), before))
answers = f"{delivered:,}" if received == delivered else f"{delivered:,}, {received:,} requests"
# promptfoo ends with 100 where an assertion failed, and there are none.
if code != 0 and not (name.startswith("promptfoo") and code == 100):
    with open(log) as f:
        said = f.read()[-300:]
    print(f"skipped {name}: exit code {code}, {answers} answers of {rows:,}: {said}", file=sys.stderr)
    sys.exit(0)
if delivered < rows:
    answers += f" of {rows:,}"
size = sum(os.path.getsize(f) for f in files(out))
cpu = (used.ru_utime + used.ru_stime) / rows
print(f"| {name} | {answers} | {delivered / wall:,.0f} | {wall:.1f} s | {cpu * 1e6:,.0f} µs "
      f"| {used.ru_maxrss // 1024} MiB | {size / 1e6:.1f} MB in {len(files(out))} files | {KEPT[name.split()[0]]} |",
      flush=True)
