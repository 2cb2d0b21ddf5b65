package conversation

import "fmt"

// An openCall is a call of a function that has no result yet.
type openCall struct{ id, name string }

// Called notes the call of a function and returns its id: a new one where the
// format of the call has none.
func (t *Translation) Called(name, id string) string {
	t.calls++
	if id == "" {
		id = fmt.Sprintf("call_%d", t.calls)
	}
	t.open = append(t.open, openCall{id, name})
	return id
}

// Answered returns the id of the call that a result belongs to: without one of
// its own, the first call of that function that has no result yet.
func (t *Translation) Answered(name, id string) string {
	for i, c := range t.open {
		if c.id == id || id == "" && c.name == name {
			t.open = append(t.open[:i:i], t.open[i+1:]...)
			return c.id
		}
	}
	if id == "" {
		t.Invalid("the result of "+name, "answers no call of the conversation")
	}
	return id
}
