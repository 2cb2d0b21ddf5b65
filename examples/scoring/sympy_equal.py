"""Compares formulae with SymPy, where math_equal is not enough (pip install sympy
antlr4-python3-runtime==4.11). A scorer of type command."""
import json
import re
import sys

from sympy import simplify
from sympy.parsing.latex import parse_latex

for line in sys.stdin:
    row = json.loads(line)
    boxed = re.findall(r"\\boxed\{(.*)\}", row["output"])
    reply = {"status": "no_answer"}
    if boxed:
        try:
            value = float(simplify(parse_latex(boxed[-1]) - parse_latex(row["target"])) == 0)
            reply = {"value": value, "answer": boxed[-1]}
        except Exception as problem:
            reply = {"value": None, "explanation": f"SymPy cannot read it: {problem}"}
    print(json.dumps({"n": row["n"], **reply}), flush=True)
