package reports

import (
	"bytes"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"nightshift/reports/internal/testdata/demo"
	"nightshift/reports/render"
)

// TestFoldUnsure: the strip has the first comparisons without a difference each on its
// own, the others in one; what is worse and what gates say stays.
func TestFoldUnsure(t *testing.T) {
	of := func(level, title string) render.Finding { return render.Finding{Level: level, Title: title} }
	many := []render.Finding{of("bad", "worse")}
	for i := range shownUnsure + 3 {
		many = append(many, of("unsure", fmt.Sprintf("m%d", i)))
	}
	many = append(many, of("good", "better"), of("unsure", "Gate"))
	var titles []string
	for _, f := range foldUnsure(many) {
		titles = append(titles, f.Title)
	}
	want := "worse m0 m1 m2 m3 m4 m5 3 other comparisons better Gate"
	if got := strings.Join(titles, " "); got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if f := foldUnsure(many)[shownUnsure+1]; f.Detail != "m6, m7, m8" || f.Level != "unsure" {
		t.Errorf("%+v", f)
	}
	few := many[:shownUnsure+2]
	if got := foldUnsure(few); len(got) != len(few) {
		t.Errorf("one more than are shown became %v", got)
	}
}

// TestGateInBrief: a gate that many models passed names the first; one that was missed
// names all.
func TestGateInBrief(t *testing.T) {
	detail := "a 0 %; b 0 %; c 0 %; d 0 %; e 1 %"
	for level, want := range map[string]string{"good": "a 0 %; b 0 %; c 0 %; and 2 more", "bad": detail} {
		if got := inBrief(render.Finding{Level: level, Title: "Gate", Detail: detail}).Detail; got != want {
			t.Errorf("%s: %s, want %s", level, got, want)
		}
	}
}

// TestReportsAtOnce makes the report of a run several times at once: each is the same
// page, and whole.
func TestReportsAtOnce(t *testing.T) {
	t.Parallel()
	dir := demo.Run{Rows: 60, Models: []string{"m", "n"}, Text: 100}.Write(t)
	pages := make([]bytes.Buffer, 3)
	var wait sync.WaitGroup
	for i := range pages {
		wait.Go(func() {
			page, err := BuildPage(dir, nil)
			if err != nil {
				t.Error(err)
				return
			}
			page.Made = time.Time{}
			if err := page.HTML(&pages[i]); err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	for i := range pages {
		if !bytes.Equal(pages[0].Bytes(), pages[i].Bytes()) || !bytes.HasSuffix(bytes.TrimSpace(pages[i].Bytes()),
			[]byte("</html>")) {
			t.Errorf("page %d of %d bytes differs from the first of %d, or is not whole", i, pages[i].Len(), pages[0].Len())
		}
	}
}
