package render

import "slices"

// SplitNames puts names in the first column that have two parts, such as a model and
// the variant in which it was asked, into two columns, the second with its own head.
// Other names keep the first column. A table without such names stays as it is.
func (g *Grid) SplitNames(parts map[string][2]string, head string) {
	has := func(r []string) bool { return len(r) > 0 && parts[r[0]] != [2]string{} }
	if len(g.Head) == 0 || !slices.ContainsFunc(g.Rows, has) {
		return
	}
	g.Head = slices.Insert(slices.Clone(g.Head), 1, head)
	g.Texts = g.texts() + 1
	for i, r := range g.Rows {
		both := [2]string{r[0], ""}
		if has(r) {
			both = parts[r[0]]
		}
		g.Rows[i] = append(both[:], r[1:]...)
	}
}
