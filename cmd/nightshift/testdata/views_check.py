"""Opens the views of a run and compares them with its wide export."""
import json
import sys

import duckdb

script, wide = sys.argv[1:]
db = duckdb.connect()
db.execute(open(script).read())

view = db.execute("select * from wide").fetchall()
names = [d[0] for d in db.description]
file = db.execute("select * from read_parquet(?) order by row, epoch", [wide]).fetchall()
assert names == [d[0] for d in db.description], (names, db.description)
assert view == file, next((v, f) for v, f in zip(view, file) if v != f)

rows, cost, most, maybe = db.execute("""select count(*), sum(cost_usd), sum(cost_at_most_usd),
  count(*) filter (where maybe_billed) from answers""").fetchone()
value = [n for n in (d[0] for d in db.execute("describe answers").fetchall()) if n.startswith("score_")][0]
scored, unscored = db.execute(f'select count("{value}"), count(*) - count("{value}") from answers').fetchone()
assert db.execute("select count(*), sum(answers) from models").fetchone() == (2, rows)
assert db.execute("select count(*) from scores").fetchone() == (rows,)
print(json.dumps({"Rows": rows, "Cost": cost, "CostMost": most, "Maybe": maybe, "Scored": scored,
                  "Unscored": unscored}))
