package view

import (
	"encoding/json"
	"reflect"
	"slices"

	"nightshift"
)

// A part is one of those that the values of a scorer are made of, such as a criterion.
type part struct {
	scorer, name string
	column       string
	place        int // of the scorer among those of the joins
}

// mostParts bounds the columns of one scorer's parts: their names may come from
// answers of programs.
const mostParts = 200

// scorePart is an element of [nightshift.Score.Parts]. A weight of 0 stands for 1.
type scorePart struct {
	Name   string  `json:"name"`
	Value  float64 `json:"value"`
	Weight float64 `json:"weight"`
}

// addParts adds the parts of one score that are not known yet.
func addParts(known *[]part, scorer, raw string) {
	var list []scorePart
	if json.Unmarshal([]byte(raw), &list) != nil {
		return
	}
	for _, p := range list {
		of := func(k part) bool { return k.scorer == scorer }
		if slices.ContainsFunc(*known, func(k part) bool { return of(k) && k.name == p.Name }) {
			continue
		}
		n := 0
		for _, k := range *known {
			if of(k) {
				n++
			}
		}
		if n < mostParts {
			*known = append(*known, part{scorer: scorer, name: p.Name})
		}
	}
}

// nameParts takes over parts, in the order of their scorers, with names of their own
// for their columns.
func (j *joins) nameParts(parts []part, taken map[string]int) {
	for i, scorer := range j.scorers {
		for _, p := range parts {
			if p.scorer != scorer {
				continue
			}
			p.column, p.place = once(taken, j.columns[i]+"_"+columnOf(p.name)), i
			j.parts = append(j.parts, p)
		}
	}
}

// partValue is the value of one part of a score: the weighted mean where the part is
// there several times, nil where it is missing.
func partValue(s *nightshift.Score, name string) *float64 {
	var list []scorePart
	if s == nil || s.Parts == nil || json.Unmarshal([]byte(*s.Parts), &list) != nil {
		return nil
	}
	sum, weights := 0.0, 0.0
	for _, p := range list {
		if p.Name != name {
			continue
		}
		if p.Weight == 0 {
			p.Weight = 1
		}
		sum, weights = sum+p.Weight*p.Value, weights+p.Weight
	}
	if weights == 0 {
		return nil
	}
	mean := sum / weights
	return &mean
}

// partColumn is the column of one part.
func partColumn(p part) column {
	field := reflect.StructField{Type: reflect.TypeFor[*float64](),
		Tag: reflect.StructTag(`parquet:"` + p.column + `,optional"`)}
	return column{name: p.column, field: field,
		value: func(_ *nightshift.Record, scores []*nightshift.Score) reflect.Value {
			return reflect.ValueOf(partValue(scores[p.place], p.name))
		}}
}

// rawParts are the parts of a score as JSON; nil where it has none.
func rawParts(s *nightshift.Score) json.RawMessage {
	if s.Parts == nil || !json.Valid([]byte(*s.Parts)) {
		return nil
	}
	return json.RawMessage(*s.Parts)
}

func (j *joins) partNames() (names []string) {
	for _, p := range j.parts {
		names = append(names, p.column)
	}
	return names
}
