"""Scores generated Python programs by running tests, each in a sandbox of its own.

A scorer of type command: one JSON line an answer in, one JSON line out. Rows have the
form of HumanEval's file: prompt (the beginning of the program), entry_point, and test
(which defines check(candidate)). A program has 3 seconds, 1 GB and no network; it sees
the system's files and this interpreter, none of yours, and writes into memory only.

The sandbox is bubblewrap (apt install bubblewrap, dnf install bubblewrap). Without it
nothing is run, and answers stay unscored. --without-sandbox runs programs with your
rights: only for answers that you have read.
"""
import json
import re
import resource
import secrets
import shutil
import subprocess
import sys
import tempfile

SECONDS, MEMORY = 3, 1 << 30


def sandbox(folder):
    if "--without-sandbox" in sys.argv:
        return []
    bwrap = shutil.which("bwrap")
    if not bwrap:
        raise RuntimeError("bubblewrap (bwrap) is not installed: generated programs are not run without a sandbox")
    words = [bwrap, "--unshare-all", "--die-with-parent", "--new-session", "--clearenv", "--cap-drop", "ALL",
             "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp"]
    # A virtual environment is one folder, and the Python that it was made with another.
    for path in ("/usr", "/lib", "/lib64", "/bin", "/etc/alternatives", sys.base_prefix, sys.prefix):
        words += ["--ro-bind-try", path, path]
    return words + ["--ro-bind", folder, "/work", "--chdir", "/tmp", "--setenv", "PATH", "/usr/bin:/bin"]


def program(row):
    """The prompt with what the model added, or the program that the model wrote anew."""
    fenced = re.findall(r"```(?:python|py)?\n(.*?)```", row["output"], re.S)
    code = fenced[-1] if fenced else row["output"]
    entry = row["metadata"]["entry_point"]
    if re.search(r"^\s*def " + re.escape(entry) + r"\b", code, re.M):
        return code
    messages = json.loads(row["input"])
    return messages[-1]["content"] + code


def limits():
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    resource.setrlimit(resource.RLIMIT_NPROC, (200, 200)) if "--without-sandbox" not in sys.argv else None


def passes(row):
    done = secrets.token_hex(8)  # a program that ends early does not say it
    text = f"{program(row)}\n{row['metadata']['test']}\ncheck({row['metadata']['entry_point']})\nprint('{done}')\n"
    with tempfile.TemporaryDirectory() as folder:
        with open(folder + "/program.py", "w") as f:
            f.write(text)
        box = sandbox(folder)
        path = "/work/program.py" if box else folder + "/program.py"
        try:
            ran = subprocess.run(box + [sys.executable, "-I", path], capture_output=True, text=True, errors="replace",
                                 timeout=2 * SECONDS, stdin=subprocess.DEVNULL, preexec_fn=limits)
        except subprocess.TimeoutExpired:
            return False, "the program takes too long"
    if box and ran.stderr.startswith("bwrap:"):
        raise RuntimeError("the sandbox does not start: " + ran.stderr.strip()[-300:])
    if ran.stdout.rstrip().endswith(done):
        return True, "all tests pass"
    return False, (ran.stderr.strip().splitlines() or ["it ended before the tests did"])[-1][:300]


for line in sys.stdin:
    row = json.loads(line)
    try:
        right, why = passes(row)
        reply = {"value": float(right), "explanation": why}
    except Exception as problem:  # this answer stays unscored, with the reason
        reply = {"value": None, "explanation": str(problem)}
    print(json.dumps({"n": row["n"], **reply}), flush=True)
