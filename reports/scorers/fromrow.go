package scorers

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"nightshift/reports/scorers/internal/jsonvalue"
)

// fieldOf is the field of the row that a parameter's value names: {field: NAME}.
// ok is false for a value that is meant as it stands.
func fieldOf(value any) (name string, ok bool) {
	m, isObject := value.(map[string]any)
	if !isObject || len(m) != 1 {
		return "", false
	}
	name, ok = m["field"].(string)
	return name, ok && name != ""
}

// A fromRow is a scorer some of whose parameters stand in the row. It builds the
// scorer of each row.
type fromRow struct {
	base
	spec   Spec              // without those parameters
	fields map[string]string // field of the row by parameter
	asText map[string]bool   // of the parameters: whether a text is meant as one, and never as JSON

	mu    sync.Mutex
	built map[string]Scorer // by the values of the parameters
}

// keptScorers bounds how many rows' scorers are kept: rows with the same
// parameters are scored by one.
const keptScorers = 256

// readsRow is implemented by scorers that look at the row's prompt or other fields.
type readsRow interface{ readsRow() bool }

func (s *fromRow) readsRow() bool { return true }

// ReadsRow reports whether a scorer of kind [Pure] needs [Answer.Input] and
// [Answer.Metadata].
func ReadsRow(spec Spec) bool {
	s, err := New(spec)
	if err != nil {
		return false
	}
	r, ok := s.(readsRow)
	return ok && r.readsRow()
}

// rowFields finds the parameters that stand in the row, those of the defaults
// among them.
func rowFields(info TypeInfo, params map[string]any) map[string]string {
	fields := map[string]string{}
	for _, p := range info.Params {
		value, given := params[p.Name]
		if !given {
			_ = json.Unmarshal(p.Default, &value) // describe wrote it
		}
		if name, ok := fieldOf(value); ok {
			fields[p.Name] = name
		}
	}
	return fields
}

// newFromRow checks what of a scorer is the same for all rows.
func newFromRow(b base, e entry, spec Spec, fields map[string]string) (*fromRow, error) {
	if e.info.Kind != Pure || e.info.Type == "loglikelihood" {
		name := slices.Sorted(maps.Keys(fields))[0]
		return nil, fmt.Errorf("parameter %q: the parameters of %s are the same for all rows", name, e.info.Type)
	}
	s := &fromRow{base: b, fields: fields, asText: map[string]bool{}, built: map[string]Scorer{}}
	literal := maps.Clone(spec.Params)
	for name := range fields {
		delete(literal, name)
	}
	s.spec = Spec{Type: spec.Type, Name: b.name, Params: literal}
	all := map[string]json.RawMessage{}
	for _, p := range e.info.Params {
		all[p.Name] = p.Default
		s.asText[p.Name] = strings.HasPrefix(p.Type, "string")
	}
	for name, value := range spec.Params {
		if _, known := all[name]; known {
			raw, err := json.Marshal(value)
			if err != nil {
				return nil, err
			}
			all[name] = raw
		}
	}
	written, err := json.Marshal(all)
	s.params = string(written)
	return s, errors.Join(err, e.read(literal, slices.Collect(maps.Keys(fields))))
}

func (s *fromRow) Score(a Answer, target *Target) Result {
	scorer, err := s.of(a.Metadata)
	if err != nil {
		return unscored("%v", err)
	}
	return scorer.Score(a, target)
}

// of is the scorer of a row, by its fields.
func (s *fromRow) of(metadata string) (Scorer, error) {
	params := maps.Clone(s.spec.Params)
	if params == nil {
		params = map[string]any{}
	}
	row, err := rowOf(metadata)
	if err != nil {
		return nil, err
	}
	var key strings.Builder
	for _, param := range slices.Sorted(maps.Keys(s.fields)) {
		value, ok := rowValue(row, s.fields[param])
		if !ok {
			return nil, fmt.Errorf("the row has no field %q, which holds the parameter %s of this scorer",
				s.fields[param], param)
		}
		if text, isText := value.(string); isText && !s.asText[param] {
			if v, err := jsonvalue.Parse(text); err == nil && jsonvalue.IsContainer(v) {
				value = v
			}
		}
		params[param] = value
		key.WriteString(jsonvalue.Canonical(value) + "\n")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if known := s.built[key.String()]; known != nil {
		return known, nil
	}
	built, err := New(Spec{Type: s.spec.Type, Name: s.spec.Name, Params: params})
	if err != nil {
		return nil, fmt.Errorf("the row's parameters: %w", err)
	}
	if len(s.built) >= keptScorers {
		clear(s.built)
	}
	s.built[key.String()] = built
	return built, nil
}

// rowOf reads the fields of a row; none where it has none.
func rowOf(metadata string) (map[string]any, error) {
	if metadata == "" {
		return nil, nil
	}
	v, err := jsonvalue.Parse(metadata)
	if err != nil {
		return nil, fmt.Errorf("the row's fields are not JSON: %w", err)
	}
	row, _ := v.(map[string]any)
	return row, nil
}

// rowValue is a field of a row, or the value at a path a.b.0; null is none.
func rowValue(row map[string]any, field string) (value any, ok bool) {
	if value, ok = row[field]; !ok && row != nil {
		value, ok = jsonvalue.ParsePath(field).At(row)
	}
	return value, ok && value != nil
}
