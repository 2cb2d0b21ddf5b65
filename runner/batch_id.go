package runner

import (
	"fmt"
	"strconv"
	"strings"

	"nightshift"
)

// A ticket is what an id in an input or result file says: which turn of which
// row it is, and four digits of a hash of what was asked. The name of the batch
// stands before it, so that no id is ever used twice.
type ticket struct {
	row   int64
	epoch int
	turn  int
	hash  string
}

// stem is what the ids of a batch begin with.
func stem(name string) string { return strings.TrimSuffix(name, ".jsonl") + "-" }

func ticketOf(s nightshift.Sample, turn int) ticket {
	return ticket{s.Index, s.Epoch, turn, promptHash(s)[:4]}
}

func (t ticket) id(name string) string {
	return fmt.Sprintf("%s%d-%d-%d-%s", stem(name), t.row, t.epoch, t.turn, t.hash)
}

// parseTicket reads an id; ok is false when it is none of the batch with that
// name.
func parseTicket(name, id string) (t ticket, ok bool) {
	rest, ours := strings.CutPrefix(id, stem(name))
	part := strings.Split(rest, "-")
	if !ours || len(part) != 4 {
		return ticket{}, false
	}
	row, err1 := strconv.ParseInt(part[0], 10, 64)
	epoch, err2 := strconv.Atoi(part[1])
	turn, err3 := strconv.Atoi(part[2])
	t = ticket{row, epoch, turn, part[3]}
	return t, err1 == nil && err2 == nil && err3 == nil && t.id(name) == id
}
