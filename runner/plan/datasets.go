package plan

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"

	"nightshift/datasets"
	"nightshift/reports/scorers"
)

// datasets checks the dataset, or the several with their names.
func (c *checker) datasets() {
	p := c.plan
	if p.Datasets == nil {
		c.dataset("dataset", p.Dataset)
		return
	}
	if c.source.nodes["dataset"] != nil || !reflect.DeepEqual(p.Dataset, Dataset{}) {
		c.at("dataset", "write all of them under datasets:, each with a name, or leave datasets: out",
			"the plan has dataset: and datasets:")
	}
	seen, streams := map[string]int{}, 0
	for i, d := range p.Datasets {
		path := fmt.Sprintf("datasets[%d]", i)
		c.dataset(path, d.Dataset)
		c.datasetName(path+".name", d.Name)
		if first, twice := seen[d.Name]; twice && d.Name != "" {
			c.at(path+".name", "give each a name of its own", "datasets[%d] and datasets[%d] are both called %s", first, i,
				d.Name)
		}
		seen[d.Name] = i
		if slices.Contains(d.Path, "-") {
			if streams++; streams > 1 {
				c.at(path+".path", "save one of them as a file first", "standard input (-) cannot be two datasets")
			}
		}
	}
	if len(p.Datasets) == 0 {
		c.at("datasets", "add - {name: maths, path: FILE}, or write dataset: for a single one", "the list is empty")
	}
}

// datasetName checks what stands before the ids of rows, and in gates.
func (c *checker) datasetName(path, name string) {
	switch {
	case name == "":
		c.at(path, "add name: maths, for example", "each of several datasets needs a name")
	case strings.ContainsAny(name, "(),/"):
		c.at(path, "", "the name of a dataset has no brackets, commas and slashes")
	case name == scorers.Average || slices.Contains(c.plan.comparedNames(), name):
		c.at(path, "gates could not tell them apart; take another", "the name %s is taken", name)
	default:
		c.name(path, name)
	}
}

// What the average over several datasets weighs each of them by.
const (
	AverageDatasets = "datasets" // all alike
	AverageRows     = "rows"
)

// A placedScorer is a scorer with its place in the plan and the names of the
// datasets that it scores; nil is all.
type placedScorer struct {
	Scorer
	path     string
	datasets []string
}

// placedScorers are the scorers of the plan: its own, for datasets that have none,
// then those of each dataset. A scorer that stands in several datasets word for word
// is one.
func (p *Plan) placedScorers() (all []placedScorer) {
	var rest []string
	for _, d := range p.Datasets {
		if d.Scorers == nil {
			rest = append(rest, d.Name)
		}
	}
	if len(rest) == len(p.Datasets) {
		rest = nil
	}
	for i, s := range p.Scorers {
		all = append(all, placedScorer{s, fmt.Sprintf("scorers[%d]", i), rest})
	}
	for k, d := range p.Datasets {
		for i, s := range d.Scorers {
			at := slices.IndexFunc(all, func(o placedScorer) bool {
				return o.datasets != nil && !slices.Contains(o.datasets, d.Name) && reflect.DeepEqual(o.Scorer, s)
			})
			if at >= 0 {
				all[at].datasets = append(slices.Clone(all[at].datasets), d.Name)
				continue
			}
			all = append(all, placedScorer{s, fmt.Sprintf("datasets[%d].scorers[%d]", k, i), []string{d.Name}})
		}
	}
	return all
}

// unused reports whether no dataset is left for the plan's own scorers.
func (p *Plan) unused() bool {
	return len(p.Datasets) > 0 && len(p.Scorers) > 0 &&
		!slices.ContainsFunc(p.Datasets, func(d NamedDataset) bool { return d.Scorers == nil })
}

// spec reads the texts of one dataset that stand in files. The templates are those
// of the first lane.
func (r *resolver) spec(path string, d Dataset, first lane) datasets.Spec {
	texts := r.laneTexts(path, d, first)
	return datasets.Spec{
		Paths: slices.Clone(d.Path), Dir: r.plan.source.dir, Format: d.Format, Fields: maps.Clone(d.Fields),
		System: texts.System, Prompt: texts.Prompt, Target: r.fromFile(path+".target", d.Target),
		Cluster: d.Cluster, Category: d.Category,
		Filter: d.Filter, Sample: d.Sample, Offset: d.Offset, Limit: d.Limit, Seed: d.Seed,
		OnBadRow: d.OnBadRow, MaxLine: d.MaxLine, AllowDuplicateIDs: d.AllowDuplicateIDs, RepairUTF8: d.RepairUTF8,
		Written: r.written(path, d, first),
	}
}

// written is where the templates of spec stand, for those in files.
func (r *resolver) written(path string, d Dataset, first lane) map[string]datasets.Place {
	paths := map[string]string{"target": path + ".target", "filter": path + ".filter"}
	texts := map[string]string{"target": d.Target, "filter": d.Filter}
	paths["system"], texts["system"], paths["prompt"], texts["prompt"] = r.laneFields(path, d, first)
	return r.places(paths, texts)
}

// places are where texts stand, by what they are: each at its path of the plan.
func (r *resolver) places(paths, texts map[string]string) map[string]datasets.Place {
	places := map[string]datasets.Place{}
	for what, text := range texts {
		if at, ok := r.place(paths[what], text); ok {
			places[what] = at
		}
	}
	return places
}

// place is where the text of a field stands; ok is false when it is in no file.
func (r *resolver) place(path, text string) (at datasets.Place, ok bool) {
	if name, ok := strings.CutPrefix(text, "file:"); ok {
		return datasets.Place{File: r.plan.path(strings.TrimSpace(name)), Line: 1, Whole: true}, true
	}
	n, found := r.source.nodes[path]
	if _, flag := r.source.flags[path]; flag || !found || r.source.name == "" {
		return at, false
	}
	at = datasets.Place{File: r.source.name, Line: int64(n.Line)}
	if n.Style&yaml.LiteralStyle != 0 {
		at.Line, at.Whole = at.Line+1, true
	}
	return at, true
}

// dataset makes the dataset, or the several, ready to be read.
func (r *resolver) dataset() {
	first := lane{from: -1}
	if len(r.plan.Models) > 0 {
		first = r.plan.lanes()[0]
	}
	if r.plan.Datasets == nil {
		r.out.Dataset = r.spec("dataset", r.plan.Dataset, first)
		return
	}
	r.out.Dataset = datasets.Spec{Dir: r.plan.source.dir}
	for i, d := range r.plan.Datasets {
		spec := r.spec(fmt.Sprintf("datasets[%d]", i), d.Dataset, first)
		r.out.Dataset.Parts = append(r.out.Dataset.Parts, datasets.Part{Name: d.Name, Spec: spec})
	}
}

// templates are those of a lane, for each dataset.
func (r *resolver) templates(l lane) (list []datasets.Templates) {
	if r.plan.Datasets == nil {
		return []datasets.Templates{r.laneTexts("dataset", r.plan.Dataset, l)}
	}
	for i, d := range r.plan.Datasets {
		list = append(list, r.laneTexts(fmt.Sprintf("datasets[%d]", i), d.Dataset, l))
	}
	return list
}

// DatasetNames are the names of the plan's datasets; nil where it has a single one.
func (r *Resolved) DatasetNames() (names []string) {
	for _, p := range r.Dataset.Parts {
		names = append(names, p.Name)
	}
	return names
}

// Scores reports whether the scorer scores the rows of a dataset.
func (s ResolvedScorer) Scores(dataset string) bool {
	return s.Datasets == nil || slices.Contains(s.Datasets, dataset)
}

// eachSpec changes the spec of the dataset, or of each of several.
func (r *resolver) eachSpec(change func(name string, s *datasets.Spec)) {
	if r.out.Dataset.Parts == nil {
		change("", &r.out.Dataset)
	}
	for i := range r.out.Dataset.Parts {
		part := &r.out.Dataset.Parts[i]
		change(part.Name, &part.Spec)
	}
}

// allAsked sees that log-probabilities are asked of every dataset or of none: they
// come in place of answers.
func (r *resolver) allAsked() {
	for i, name := range r.out.DatasetNames() {
		var built []scorers.Scorer
		for _, s := range r.out.Scorers {
			if s.Scorer != nil && s.Scores(name) {
				built = append(built, s.Scorer)
			}
		}
		if l, err := scorers.LikelihoodsFor(built); err == nil && !l.Asks() {
			r.at(fmt.Sprintf("datasets[%d]", i), "run it by a plan of its own",
				"scorers of other datasets need log-probabilities, which are asked for in place of answers, and those of %s "+
					"need answers", name)
		}
	}
}
