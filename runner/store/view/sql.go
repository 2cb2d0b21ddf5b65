package view

import (
	"cmp"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"nightshift/runner/store/internal/disk"
	"nightshift/runner/store/internal/rundir"
)

// ErrNoParquet says that no row of a run is in a Parquet file yet.
var ErrNoParquet = errors.New("no answer is in a Parquet file yet")

// SQL is a script for DuckDB that makes views over the Parquet files of a run:
// answers (joined with their scores), scores, wide (one row for each row and
// epoch of the dataset), models, datasets where there are several, and judges where
// there are any. Paths are absolute, or below place where the directory is a copy of
// what is there. open is a file of [WriteOpen] with the rows that are still in a journal; without
// one it is empty, and the views lack them. The error is [ErrNoParquet] when there is no file to read.
func SQL(dir, place, open string) (string, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	v, err := rundir.Read(disk.OS{}, abs)
	if err != nil {
		return "", err
	}
	found, err := filepath.Glob(filepath.Join(globSafe(abs), "results", "*.parquet"))
	if err != nil || len(found) == 0 && open == "" {
		return "", errors.Join(err, ErrNoParquet)
	}
	if open != "" {
		if open, err = filepath.Abs(open); err != nil {
			return "", err
		}
	}
	o := ExportOptions{ReadOptions: ReadOptions{FS: disk.OS{}}}
	if o.Scores, err = ScoreTables(abs); err != nil {
		return "", err
	}
	wide, err := openWide(abs, o)
	if err != nil {
		return "", err
	}
	defer wide.close()
	s := script{dir: abs, place: cmp.Or(place, abs), models: v.Info.Models, wide: wide.columns,
		plan: planOf(v.Info.Plan), open: open, onlyOpen: len(found) == 0}
	if len(wide.joins) > 0 {
		s.scorers, s.columns, s.parts = wide.joins[0].scorers, wide.joins[0].columns, wide.joins[0].parts
	}
	return s.text(v.Info.Name), nil
}

// A script is one for DuckDB under way.
type script struct {
	strings.Builder
	dir, place       string
	open             string // file of the rows in journals; empty without
	onlyOpen         bool   // there is no other
	models           []string
	scorers, columns []string // as [joins] has them
	parts            []part
	wide             []column
	plan             widePlan
}

func (s *script) text(name string) string {
	fmt.Fprintf(s, "-- Views of the run %s, for DuckDB. nightshift sql writes this file.\n", oneLine(name))
	s.scoreViews()
	s.answers()
	s.wideView()
	s.modelsView()
	s.datasetsView()
	if found, _ := filepath.Glob(filepath.Join(globSafe(s.dir), "judges", "*", "results", "*.parquet")); len(found) > 0 {
		fmt.Fprintf(s, "\n-- The replies of the judges, one row for each.\n"+
			"create or replace view judges as\nselect * from %s;\n", s.files("judges", "*", "results", "*.parquet"))
	}
	return s.String()
}

// files is a reading of Parquet files below the run's directory.
func (s *script) files(path ...string) string {
	pattern := globSafe(s.place) + "/" + strings.Join(path, "/")
	return "read_parquet(" + sqlText(filepath.ToSlash(pattern)) + ", union_by_name = true)"
}

// records are the answers of the run. A row of open that has come into another file since is
// taken from there.
func (s *script) records() string {
	results := s.files("results", "*.parquet")
	if s.open == "" {
		return results
	}
	open := "read_parquet(" + sqlText(filepath.ToSlash(globSafe(s.open))) + ")"
	if s.onlyOpen {
		return open
	}
	return "(\n  select * from " + results + "\n  union all by name\n  select o.* from " + open +
		" o\n  anti join " + results + " using (model, row, epoch)\n)"
}

func (s *script) scoreViews() {
	if len(s.scorers) == 0 {
		return
	}
	fmt.Fprintf(s, "\n-- What each scorer said of each answer.\ncreate or replace view scores as\nselect * from %s;\n",
		s.files("scores", "*.parquet"))
}

// atMost is the most that the attempts of a row can have cost: what each cost,
// or, where a part of its usage is unknown, the worst case that was reserved
// for it. It is null where nothing bounds it.
const atMost = `(
    select case when count(*) = count(most) then coalesce(sum(most), 0) / 1e9 end
    from (
      select case
        when attempt.class is not null and not coalesce(attempt.maybe_billed, false) and attempt.usage is null then 0
        when coalesce(attempt.maybe_billed, false) or attempt.usage.input is null or attempt.usage.output is null
          then case when attempt.worst_cost_nano_usd > 0
            then greatest(coalesce(attempt.cost_nano_usd, 0), attempt.worst_cost_nano_usd) end
        else attempt.cost_nano_usd end as most
      from (select unnest(from_json(a.attempt_log, '[{"class":"VARCHAR","cost_nano_usd":"BIGINT",
        "maybe_billed":"BOOLEAN","worst_cost_nano_usd":"BIGINT","usage":{"input":"BIGINT","output":"BIGINT"}}]'))
        as attempt)
    )
  )`

func (s *script) answers() {
	s.WriteString("\n-- One row for each answer, with a column for each scorer, and the most that it can have cost.\n" +
		"create or replace view answers as\n")
	if len(s.scorers) == 0 {
		fmt.Fprintf(s, "select a.*, %s as cost_at_most_usd\nfrom %s a;\n", atMost, s.records())
		return
	}
	fmt.Fprintf(s, "select a.*, %s as cost_at_most_usd, s.* exclude (model, row, epoch)\nfrom %s a\nleft join (\n"+
		"  select model, row, epoch", atMost, s.records())
	for i, scorer := range s.scorers {
		where := "filter (where scorer = " + sqlText(scorer) + ")"
		fmt.Fprintf(s, ",\n    any_value(value) %s as %s,\n    any_value(status) %s as %s", where, sqlName(s.columns[i]),
			where, sqlName(s.columns[i]+"_status"))
	}
	for _, p := range s.parts {
		fmt.Fprintf(s, ",\n    any_value(%s) filter (where scorer = %s) as %s", partSQL(p.name), sqlText(p.scorer),
			sqlName(p.column))
	}
	s.WriteString("\n  from scores group by model, row, epoch\n" +
		") s on s.model = a.model and s.row = a.row and s.epoch = a.epoch;\n")
}

// partSQL reads one part of a score, as partValue does.
func partSQL(name string) string {
	return `(
      select sum(coalesce(nullif(weight, 0), 1) * value) / sum(coalesce(nullif(weight, 0), 1))
      from (select unnest(from_json(parts, '[{"name":"VARCHAR","value":"DOUBLE","weight":"DOUBLE"}]'),
        recursive := true))
      where name = ` + sqlText(name) + `
    )`
}

func (s *script) wideView() {
	s.WriteString("\n-- One row for each row of the dataset and epoch, with columns for each model.\n" +
		"create or replace view wide as\nselect ")
	for i, c := range s.wide {
		if i > 0 {
			s.WriteString(",\n  ")
		}
		switch {
		case c.lane >= 0:
			fmt.Fprintf(s, "any_value(%s) filter (where model = %s) as %s", sqlName(c.of), sqlText(s.models[c.lane]),
				sqlName(c.name))
		case c.name == "row" || c.name == "epoch":
			s.WriteString(sqlName(c.name))
		default:
			fmt.Fprintf(s, "any_value(%s) as %s", sqlName(c.name), sqlName(c.name))
		}
	}
	s.WriteString("\nfrom answers group by row, epoch order by row, epoch;\n")
}

func (s *script) modelsView() {
	s.WriteString(`
-- One row for each model.
create or replace view models as
select model`)
	if s.plan.varied {
		s.WriteString(", any_value(variant_of) as variant_of, any_value(variant) as variant")
	}
	s.figures()
	s.WriteString("\nfrom answers group by model order by model;\n")
}

// datasetsView is as that of the models, where there are several datasets.
func (s *script) datasetsView() {
	if !s.plan.datasets {
		return
	}
	s.WriteString(`
-- One row for each dataset and model.
create or replace view datasets as
select dataset, model`)
	s.figures()
	s.WriteString("\nfrom answers group by dataset, model order by min(row), model;\n")
}

// figures are what is counted, averaged and summed of a group of answers.
func (s *script) figures() {
	s.WriteString(`, count(*) as answers, count(*) filter (where outcome = 'ok') as ok,
  count(*) filter (where outcome = 'truncated') as truncated, count(*) filter (where outcome = 'refused') as refused,
  count(*) filter (where outcome in ('failed', 'input_error', 'unknown')) as failed`)
	for _, c := range s.columns {
		fmt.Fprintf(s, ",\n  avg(%s) as %s", sqlName(c), sqlName(c))
	}
	for _, p := range s.parts {
		fmt.Fprintf(s, ",\n  avg(%s) as %s", sqlName(p.column), sqlName(p.column))
	}
	s.WriteString(`,
  sum(input_tokens) as input_tokens, sum(output_tokens) as output_tokens, sum(cost_usd) as cost_usd,
  case when count(*) = count(cost_at_most_usd) then sum(cost_at_most_usd) end as cost_at_most_usd,
  quantile_cont(latency_ms, 0.5) as latency_p50_ms, quantile_cont(latency_ms, 0.95) as latency_p95_ms`)
}

func sqlText(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

func sqlName(s string) string { return `"` + strings.ReplaceAll(s, `"`, `""`) + `"` }

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

// globSafe is a path in a pattern, which its own characters do not take part in.
func globSafe(path string) string {
	return strings.NewReplacer("[", "[[]", "*", "[*]", "?", "[?]").Replace(path)
}
