package plan

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"
	"strings"

	"nightshift"
	"nightshift/datasets"
	"nightshift/internal/rawjson"
	"nightshift/reports/scorers"
)

// identity is what two runs must agree in to be the same run: whatever changes
// the requests that are sent, or which rows are in it. The dataset's content is pinned by
// the store, by hash, so its paths are not here. What people change between
// two starts of one run (budget, limits, timeouts, streaming, retries, output
// directory, scorers, comparison, gates, prices) is not here either.
type identity struct {
	Version int             `json:"version"`
	Dataset identityDataset `json:"dataset"`
	// Datasets are those of a plan with several; Dataset is then empty.
	Datasets []identityPart  `json:"datasets,omitempty"`
	Epochs   int             `json:"epochs"`
	Models   []identityModel `json:"models"`
	// Likelihoods are asked for in place of answers; nil where answers are.
	Likelihoods *scorers.Likelihoods `json:"likelihoods,omitempty"`
}

type identityDataset struct {
	Format   string            `json:"format,omitempty"`
	Fields   map[string]string `json:"fields,omitempty"`
	System   string            `json:"system,omitempty"`
	Prompt   string            `json:"prompt,omitempty"`
	Target   string            `json:"target,omitempty"`
	Cluster  string            `json:"cluster,omitempty"`
	Category string            `json:"category,omitempty"`
	Limit    int64             `json:"limit,omitempty"`
	Offset   int64             `json:"offset,omitempty"`
	Sample   int64             `json:"sample,omitempty"`
	Seed     uint64            `json:"seed,omitempty"`
	Filter   string            `json:"filter,omitempty"`
	Repair   bool              `json:"repair_utf8,omitempty"`
}

type identityPart struct {
	Name string `json:"name"`
	identityDataset
}

type identityModel struct {
	Name     string `json:"name"`
	Endpoint string `json:"endpoint"`
	Protocol string `json:"protocol"`
	BaseURL  string `json:"base_url,omitempty"`
	Path     string `json:"path,omitempty"`
	Model    string `json:"model"`
	Params   Params `json:"params"`
	// Of a model that is asked in several ways: the way, the model's own name, and
	// the templates, which then do not stand in the dataset.
	Variant   string `json:"variant,omitempty"`
	VariantOf string `json:"variant_of,omitempty"`
	System    string `json:"system,omitempty"`
	Prompt    string `json:"prompt,omitempty"`
	// Templates are in place of System and Prompt where there are several datasets.
	Templates []identityTexts `json:"templates,omitempty"`
}

type identityTexts struct {
	System string `json:"system,omitempty"`
	Prompt string `json:"prompt,omitempty"`
}

// Identity is the canonical JSON of what defines the run, and the hex SHA-256
// of it. Equal plans have equal identities however they are written. Models
// are in the order of their names and parameters too; number texts are as the
// plan has them, since they go into the requests.
func (r *Resolved) Identity() (json.RawMessage, string) {
	id := identity{Version: 1, Epochs: r.Epochs}
	if r.Likelihoods.Asks() {
		id.Likelihoods = &r.Likelihoods
	}
	varied := slices.ContainsFunc(r.Models, func(m ResolvedModel) bool { return m.Variant != "" })
	if r.Dataset.Parts == nil {
		id.Dataset = identityOf(r.Dataset, varied)
	}
	for _, part := range r.Dataset.Parts {
		id.Datasets = append(id.Datasets, identityPart{part.Name, identityOf(part.Spec, varied)})
	}
	for _, m := range r.Models {
		one := m.identity()
		if varied {
			one.Variant, one.VariantOf = m.Variant, m.VariantOf
			one.askedWith(m.Templates)
		}
		id.Models = append(id.Models, one)
	}
	slices.SortFunc(id.Models, func(a, b identityModel) int { return strings.Compare(a.Name, b.Name) })
	text := encode(id)
	sum := sha256.Sum256(text)
	return text, hex.EncodeToString(sum[:])
}

// identityOf is what of a dataset's section defines the run. The templates of varied
// models stand in those.
func identityOf(d datasets.Spec, varied bool) identityDataset {
	id := identityDataset{
		Format: d.Format, Fields: d.Fields, System: d.System, Prompt: d.Prompt, Target: d.Target,
		Cluster: d.Cluster, Category: d.Category, Limit: d.Limit, Offset: d.Offset, Sample: d.Sample,
		Filter: d.Filter, Repair: d.RepairUTF8,
	}
	if id.Format == "auto" {
		id.Format = ""
	}
	if d.Sample > 0 { // a seed without a sample changes nothing
		id.Seed = d.Seed
	}
	if varied {
		id.System, id.Prompt = "", ""
	}
	return id
}

func (m *identityModel) askedWith(list []datasets.Templates) {
	if len(list) == 1 {
		m.System, m.Prompt = list[0].System, list[0].Prompt
		return
	}
	for _, one := range list {
		m.Templates = append(m.Templates, identityTexts{one.System, one.Prompt})
	}
}

func (m ResolvedModel) identity() identityModel {
	params := slices.Clone(Params(m.Params))
	slices.SortFunc(params, func(a, b nightshift.Param) int { return strings.Compare(a.Name, b.Name) })
	for i := range params {
		params[i].Value = compact(params[i].Value)
	}
	return identityModel{
		Name: m.Name, Endpoint: m.Endpoint.Name, Protocol: string(m.Endpoint.Protocol),
		BaseURL: strings.TrimRight(m.Endpoint.BaseURL, "/"), Path: m.Endpoint.Path,
		Model: m.ModelID, Params: params,
	}
}

func compact(b json.RawMessage) json.RawMessage {
	var out bytes.Buffer
	if json.Compact(&out, b) != nil {
		return b
	}
	return out.Bytes()
}

// encode is JSON without HTML escapes.
func encode(v any) json.RawMessage {
	b, err := rawjson.Marshal(v)
	if err != nil {
		panic("plan: " + err.Error()) // every field is encodable
	}
	return b
}
