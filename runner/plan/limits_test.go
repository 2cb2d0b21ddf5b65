package plan

import (
	"reflect"
	"slices"
	"testing"

	"nightshift/providers/limits"
)

// filled sets every field of a struct to something that is not zero.
func filled[T any](t *testing.T) (s T) {
	t.Helper()
	v := reflect.ValueOf(&s).Elem()
	for i := range v.NumField() {
		fill(t, v.Type().Field(i).Name, v.Field(i))
	}
	return s
}

func fill(t *testing.T, name string, v reflect.Value) {
	t.Helper()
	switch v.Kind() {
	case reflect.Int, reflect.Int64:
		v.SetInt(7)
	case reflect.Float64:
		v.SetFloat(7.5)
	case reflect.String:
		v.SetString("max_tokens")
	case reflect.Bool:
		v.SetBool(true)
	default:
		t.Fatalf("%s: this test cannot fill a %v", name, v.Type())
	}
}

// What a preset knows of its limits stays unless the plan says otherwise,
// field by field.
func TestMergedLimitsKeepEveryField(t *testing.T) {
	base := filled[limits.Config](t)
	if got := mergeLimits(base, Limits{}); got != base {
		t.Errorf("a plan that says nothing changed %+v to %+v", base, got)
	}
	var m merged
	m.Limits = base
	m.entry.Routes = []Route{{Limits: &Limits{}}}
	if got := *m.routes()[0].Limits; got != base {
		t.Errorf("a route that says nothing changed %+v to %+v", base, got)
	}
}

// Each limit of a plan reaches one field of its own, and every field can be
// reached but those that plans do not set here.
func TestEveryLimitOfAPlanCounts(t *testing.T) {
	elsewhere := []string{
		"FreeCacheReads", // a property of the service, known by its preset
		"MaxStall",       // the run's, not the endpoint's
	}
	set := map[string]string{}
	own := reflect.TypeFor[Limits]()
	for i := range own.NumField() {
		var one Limits
		name := own.Field(i).Name
		fill(t, name, reflect.ValueOf(&one).Elem().Field(i))
		changed := reflect.ValueOf(mergeLimits(limits.Config{}, one))
		for f := range changed.NumField() {
			field := changed.Type().Field(f).Name
			if changed.Field(f).IsZero() {
				continue
			}
			if set[field] != "" {
				t.Errorf("%s and %s both set %s", set[field], name, field)
			}
			set[field] = name
		}
		if len(set) != i+1 {
			t.Errorf("%s sets %d fields, want one", name, len(set)-i)
		}
	}
	config := reflect.TypeFor[limits.Config]()
	for f := range config.NumField() {
		name := config.Field(f).Name
		if (set[name] == "") != slices.Contains(elsewhere, name) {
			t.Errorf("limits.Config.%s: set by %q; a plan must be able to set it, or this test say why not", name,
				set[name])
		}
	}
}
