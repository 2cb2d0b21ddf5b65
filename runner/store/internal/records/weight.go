package records

import "nightshift"

// Weight is about how many bytes a record takes before compression.
func Weight(r *nightshift.Record) int64 {
	n := int64(400) + int64(len(r.RawBytes)+4*len(r.Embedding))
	for _, s := range []*string{r.Text, r.Thinking, r.ToolCalls, r.Choices, r.UsageRaw, r.AttemptLog, r.ErrorMessage,
		r.System, r.Input, r.Target, r.Metadata, r.RawResponse} {
		if s != nil {
			n += int64(len(*s))
		}
	}
	return n
}
