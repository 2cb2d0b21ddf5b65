package reports

import (
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"nightshift/reports/render"
	"nightshift/runner/store/view"
)

// A planShown is the plan of a run as report.html shows it.
type planShown struct {
	Facts  [][2]string // what is short, in the order of reading
	Texts  [][2]string // templates
	Models [][2]string // parameters as JSON, by model
}

// showPlan reads the plan that run.json keeps. What cannot be read is left out.
func showPlan(info view.Info) (p planShown) {
	var kept struct {
		Plan struct {
			Dataset map[string]json.RawMessage `json:"dataset"`
			Models  []struct {
				Name, Endpoint, Protocol, Model string
				BaseURL                         string `json:"base_url"`
				Params                          json.RawMessage
			} `json:"models"`
		} `json:"plan"`
		Source struct {
			Paths []string `json:"paths"`
			Dir   string   `json:"dir"`
		} `json:"source"`
	}
	if json.Unmarshal(info.Plan, &kept) != nil {
		return p
	}
	for _, path := range kept.Source.Paths {
		if !filepath.IsAbs(path) && path != "-" && !strings.Contains(path, "://") {
			path = filepath.Join(kept.Source.Dir, path)
		}
		p.Facts = append(p.Facts, [2]string{"dataset", path})
	}
	for _, name := range slices.Sorted(maps.Keys(kept.Plan.Dataset)) {
		var text string
		isText := json.Unmarshal(kept.Plan.Dataset[name], &text) == nil
		switch {
		case name == "system" || name == "prompt" || name == "target":
			p.Texts = append(p.Texts, [2]string{name, text})
		case isText:
			p.Facts = append(p.Facts, [2]string{name, text})
		default:
			p.Facts = append(p.Facts, [2]string{name, string(kept.Plan.Dataset[name])})
		}
	}
	for _, m := range kept.Plan.Models {
		params := "{}"
		var b bytes.Buffer
		if string(m.Params) != "null" && json.Indent(&b, m.Params, "", "  ") == nil {
			params = b.String()
		}
		p.Models = append(p.Models, [2]string{m.Name, sprintf("%s at %s (%s, %s)\n%s", m.Model, m.Endpoint, m.Protocol,
			m.BaseURL, params)})
	}
	return p
}

// startCommand is the command that started the run last, with everything that it
// was given, for any directory; empty where the run does not say it or its dataset
// came from standard input. The address of notifications is not in it.
func startCommand(dir string) string {
	var start struct {
		Plan     string              `json:"plan"`
		Options  map[string][]string `json:"options"`
		RowsFrom string              `json:"rows_from"`
		Rows     string              `json:"rows"`
	}
	b, err := os.ReadFile(filepath.Join(dir, "start.json"))
	if err != nil || json.Unmarshal(b, &start) != nil || slices.Contains(start.Options["dataset"], "-") {
		return ""
	}
	command := []string{"nightshift run"}
	if start.Plan != "" {
		command = append(command, quote(start.Plan))
	}
	if start.Options == nil {
		start.Options = map[string][]string{}
	}
	start.Options["out"] = []string{dir}
	for _, flag := range slices.Sorted(maps.Keys(start.Options)) {
		for _, value := range start.Options[flag] {
			command = append(command, "--"+flag+"="+quote(value))
		}
	}
	if start.RowsFrom != "" {
		command = append(command, "--rows-from="+quote(start.RowsFrom), "--rows="+quote(start.Rows))
	}
	return strings.Join(command, " ")
}

// commands read the run, or go on with it, from any directory.
func (p *Page) commands() []string {
	dir := p.absolute()
	list := []string{
		"nightshift view " + quote(dir), "nightshift report " + quote(dir), "nightshift verify " + quote(dir),
		"nightshift cost " + quote(dir) + " --by category,model", "nightshift export " + quote(dir) + " -o answers.csv",
	}
	if start := startCommand(dir); start != "" {
		list = append([]string{start}, list...)
	}
	return list
}

// absolute is the run directory for any working directory.
func (p *Page) absolute() string {
	if dir, err := filepath.Abs(p.Dir); err == nil {
		return dir
	}
	return p.Dir
}

// glance is the run in a line for each model.
func (s *Summary) glance() render.Grid {
	g := render.Grid{Title: "At a glance", Head: []string{"model"}}
	g.Column("answered", len(s.Models), func(i int) string {
		return render.Count(s.Models[i].Answered()) + " of " + render.Count(s.Models[i].Expected)
	})
	for i, m := range s.Models {
		g.Rows[i] = append([]string{m.Model}, g.Rows[i]...)
	}
	var scorers []string
	for _, c := range s.Scores {
		if !slices.Contains(scorers, c.Scorer) {
			scorers = append(scorers, c.Scorer)
		}
	}
	for _, scorer := range scorers {
		g.Column("score: "+scorer, len(s.Models), func(i int) string { return s.scoreOf(s.Models[i].Model, scorer) })
	}
	g.Column("cost", len(s.Models), func(i int) string { return s.Models[i].Bill.money() })
	g.Column("half within", len(s.Models), func(i int) string { return render.Seconds(s.Models[i].LatencyMS.P50) })
	if len(scorers) > 0 {
		g.Note = "Scores are means with their " + s.interval() + "s. "
	}
	g.Note += "Half within: the time in which half of the answers came."
	all := []render.Grid{g}
	s.split(all)
	return all[0]
}

// scoreOf is a model's mean by a scorer, with its interval.
func (s *Summary) scoreOf(model, scorer string) string {
	for _, c := range s.Scores {
		if c.Model != model || c.Scorer != scorer || c.Mean == nil {
			continue
		}
		if c.Lower == nil || c.Upper == nil {
			return score(c.Mean)
		}
		return sprintf("%s (%s to %s)", score(c.Mean), score(c.Lower), score(c.Upper))
	}
	return "-"
}
