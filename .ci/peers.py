"""Has Inspect and lm-evaluation-harness read the run that nightshift exported for them.

usage: peers.py NIGHTSHIFT RUN
"""
import glob
import json
import os
import subprocess
import sys
import tempfile

os.environ.update(HF_HUB_OFFLINE="1", HF_DATASETS_OFFLINE="1")
nightshift, run = sys.argv[1:]
folder = tempfile.mkdtemp()
os.environ["HF_HOME"] = os.path.join(folder, "cache")
for form in ("inspect", "lm-eval"):
    subprocess.run([nightshift, "export", run, "--format", form, "--output", f"{folder}/{form}"], check=True)

ours = {}
lines = subprocess.run([nightshift, "export", run, "--format", "jsonl"], check=True, capture_output=True, text=True).stdout
for line in lines.splitlines():
    r = json.loads(line)
    ours[r["model"], r["id"], r["epoch"]] = r
models = sorted({k[0] for k in ours})


def value(record, scorer):
    return record.get("scores", {}).get(scorer, {}).get("value")


from inspect_ai.log import list_eval_logs, read_eval_log  # noqa: E402

logs = [read_eval_log(info) for info in list_eval_logs(f"{folder}/inspect", formats=["json"])]
assert sorted(log.eval.model for log in logs) == models, [log.eval.model for log in logs]
for log in logs:
    assert log.status == "success" and log.version == 2, log.status
    assert len(log.samples) == sum(k[0] == log.eval.model for k in ours)
    for s in log.samples:
        r = ours[log.eval.model, str(s.id), s.epoch - 1]
        if r.get("text") is None:
            assert s.error, s.id
            continue
        assert s.output.completion == r["text"] == s.messages[-1].text, s.id
        asked = s.input if isinstance(s.input, str) else s.input[-1].text
        assert asked == json.loads(r["input"])[-1]["content"], s.id
        assert s.output.usage.total_tokens == r["input_tokens"] + r["output_tokens"], s.id
        for name, score in s.scores.items():
            assert score.value == value(r, name), (s.id, name)
    for score in log.results.scores:
        values = [v for k, r in ours.items() if k[0] == log.eval.model and (v := value(r, score.name)) is not None]
        assert abs(score.metrics["mean"].value - sum(values) / len(values)) < 1e-9, score.name
print(f"Inspect read {len(logs)} logs, {sum(len(l.samples) for l in logs)} samples")

from datasets import load_dataset  # noqa: E402
from lm_eval.loggers.wandb_logger import WandbLogger  # noqa: E402
from lm_eval.utils import get_file_task_name, get_results_filenames, get_sample_results_filenames, make_table  # noqa: E402

files = glob.glob(f"{folder}/lm-eval/*/*")
results = get_results_filenames(files)
assert len(results) == len(get_sample_results_filenames(files)) == len(models), files
rows = 0
for path in results:
    result = json.load(open(path))
    model = result["model_name"]
    [samples] = get_sample_results_filenames(glob.glob(os.path.dirname(path) + "/*"))
    task = get_file_task_name(os.path.basename(samples))
    table = make_table(result)
    assert task in table, table
    data = [json.loads(line) for line in open(samples)]
    # the way in which the harness itself loads samples for its metadata card
    loaded = load_dataset("json", data_files=samples, split="train")
    assert loaded.num_rows == len(data) == result["n-samples"][task]["effective"]
    # the way in which it reads samples for its loggers, which take arguments as pairs
    pairs = [dict(d, arguments=[list(a.values()) for a in d["arguments"].values()]) for d in data]
    frame = WandbLogger.__new__(WandbLogger)._generate_dataset(pairs, result["configs"][task])
    assert len(frame) == len(data)
    for d in loaded:
        r = ours[model, d["doc"]["id"], 0]
        assert d["resps"][0][0] == (r.get("text") or ""), d["doc_id"]
        for name in d["metrics"]:
            assert d[name] == value(r, name), (d["doc_id"], name)
    rows += len(data)
print(f"lm-evaluation-harness read {len(results)} files of results, {rows} samples")
