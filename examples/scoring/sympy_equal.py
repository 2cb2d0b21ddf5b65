"""Compares formulae with SymPy, where math_equal is not enough (pip install sympy
antlr4-python3-runtime==4.11). A scorer of type command. Formulae of a list may stand in any order."""
import json
import re
import sys

from sympy import simplify
from sympy.parsing.latex import parse_latex


def formulae(text):
    """Those of a list; a ± stands for two. What is no formula to its end is an error."""
    parts = re.split(r",\s+|,(?!\d{3}\b)", text)
    signs = [p.replace(r"\pm", s) for p in parts for s in (["+", "-"] if r"\pm" in p else [""])]
    return [parse_latex(s, strict=True) for s in signs]


def same(a, b):
    return len(a) == len(b) and all(any(simplify(x - y) == 0 for y in b) for x in a)


for line in sys.stdin:
    row = json.loads(line)
    boxed = re.findall(r"\\boxed\{(.*)\}", row["output"])
    reply = {"status": "no_answer"}
    if boxed:
        try:
            value = float(same(formulae(boxed[-1]), formulae(row["target"])))
            reply = {"value": value, "answer": boxed[-1]}
        except Exception as problem:
            reply = {"value": None, "explanation": f"SymPy cannot read it: {problem}"}
    print(json.dumps({"n": row["n"], **reply}), flush=True)
