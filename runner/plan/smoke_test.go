package plan

import (
	"fmt"
	"testing"
)

func TestSmoke(t *testing.T) {
	for _, path := range plans(t) {
		p, err := Load(path)
		if err != nil {
			t.Error(err)
			continue
		}
		r, err := p.Resolve(func(string) string { return "x" })
		if err != nil {
			t.Error(err)
			continue
		}
		id, h := r.Identity()
		fmt.Println(path, r.Notes, string(id), h)
	}
}
