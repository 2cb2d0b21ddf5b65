package batch

import (
	"cmp"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"nightshift"
	"nightshift/internal/pattern"
	"nightshift/internal/rawjson"
	"nightshift/providers"
)

// An object is what a server says of a batch. Names differ between services,
// and no name means two things, so all are looked for at all of them: gateways
// mix them.
type object struct {
	root  rawjson.Value
	parts []rawjson.Value // in which members are looked for
}

// objectOf takes a batch out of the wrapper in which some answers come.
func objectOf(v rawjson.Value) object {
	for _, wrapper := range []string{"job", "batch", "data"} {
		if inner := v.Get(wrapper); inner.Kind() == rawjson.Object && !v.Get("id").Set() && !v.Get("name").Set() {
			v = inner
			break
		}
	}
	o := object{root: v, parts: []rawjson.Value{v}}
	if m := v.Get("metadata"); m.Get("state").Set() || m.Get("@type").Set() { // an operation's, not a user's
		o.parts = append(o.parts, m, m.Get("output"))
	}
	o.parts = append(o.parts, v.Get("response"), v.Get("output"), v.Get("dest"))
	return o
}

// get is the first member of several names that is set.
func (o object) get(names ...string) rawjson.Value {
	for _, part := range o.parts {
		for _, name := range names {
			if v := part.Get(name); v.Set() {
				return v
			}
		}
	}
	return rawjson.Value{}
}

// text is the first of several members that is a text and says something.
func (o object) text(names ...string) string {
	for _, part := range o.parts {
		for _, name := range names {
			if s := part.Get(name).String(); s != "" {
				return s
			}
		}
	}
	return ""
}

// batch reads an object; without an id it is none.
func (d dialect) batch(v rawjson.Value) (b nightshift.Batch, ok bool) {
	o := objectOf(v)
	if b.ID = o.id(); b.ID == "" {
		return b, false
	}
	b.State, b.Phase = o.phase()
	b.CreatedAt = o.time("created_at", "createdAt", "create_time", "createTime")
	b.ExpiresAt = o.time("expires_at", "expiresAt", "expire_time", "expireTime")
	b.EndedAt = o.time("ended_at", "completed_at", "expired_at", "cancelled_at", "failed_at", "finalized_at", "endTime",
		"end_time", "completedAt")
	b.Counts, b.Usage, b.FileID = o.counts(), o.usage(), o.input()
	b.Results = o.results(d.result, b.Phase)
	if b.Phase == nightshift.BatchFailed {
		b.Failure = o.failure()
	}
	b.Run, b.Name = o.marks()
	return b, true
}

// id is the batch's id. Operations and jobs have a name that is a path; of
// Google's, it is used whole.
func (o object) id() string {
	for _, name := range []string{"id", "batch_id"} {
		if id, _ := o.root.Get(name).Words(); id != "" && o.root.Get(name).Set() {
			return id
		}
	}
	name := o.root.Get("name").String()
	if _, job, ok := strings.Cut(name, "/batchInferenceJobs/"); ok {
		return job
	}
	return name
}

// marks are the run that made a batch and the name that it gave it.
func (o object) marks() (run, name string) {
	m := o.root.Get("metadata")
	run, name = m.Get("ns_run").String(), o.text("display_name", "displayName")
	if name == "" && o.root.Get("batch_id").Set() {
		name = o.root.Get("name").String()
	}
	if shard, n := m.Get("ns_shard").String(), m.Get("ns_batch").String(); name == "" && run != "" && shard != "" {
		name = "ns1-" + run + "-" + shard + "-b" + n
	}
	if run == "" {
		run, _ = marksIn(name)
	}
	return run, strings.TrimSuffix(name, ".jsonl")
}

func (o object) time(names ...string) time.Time {
	v := o.get(names...)
	seconds, ok := number(v)
	switch {
	case !ok:
		t, _ := time.Parse(time.RFC3339Nano, v.String())
		return t.UTC()
	case seconds <= 0 || seconds > 1e15:
		return time.Time{}
	case seconds > 1e11:
		seconds /= 1000 // milliseconds
	}
	return time.Unix(0, int64(seconds*1e3)*1e6).UTC()
}

// number reads a number, which some write as a text.
func number(v rawjson.Value) (float64, bool) {
	if n, ok := v.Float(); ok {
		return n, true
	}
	n, err := strconv.ParseFloat(v.String(), 64)
	return n, err == nil && !math.IsNaN(n) && !math.IsInf(n, 0)
}

// count reads a number of rows or tokens; unknown where it makes no sense.
func count(v rawjson.Value) nightshift.Count {
	n, ok := number(v)
	if !ok || n < 0 || n > 1e15 {
		return nightshift.Count{}
	}
	return nightshift.Tokens(int64(n))
}

// sum is the first of several members that is a count.
func sum(v rawjson.Value, names ...string) (total nightshift.Count) {
	for _, name := range names {
		total = total.Add(count(v.Get(name)))
	}
	return total
}

func firstCount(v rawjson.Value, names ...string) nightshift.Count {
	for _, name := range names {
		if c := count(v.Get(name)); c.Known() {
			return c
		}
	}
	return nightshift.Count{}
}

func (o object) counts() (c nightshift.BatchCounts) {
	own := o.get("request_counts", "batchStats", "batch_stats", "jobProgress")
	for _, place := range []rawjson.Value{own, o.root.Get("state"), o.root} {
		c.Total = firstCount(place, "total", "requestCount", "request_count", "totalInputRequests", "num_requests",
			"total_requests")
		c.Completed = firstCount(place, "succeeded", "completed", "successfulRequestCount", "successful_request_count",
			"successfullyProcessedRequests", "num_success", "succeeded_requests")
		c.Failed = sum(place, "failed", "errored", "canceled", "expired", "failedRequestCount", "failedRequests",
			"num_error", "num_cancelled", "failed_requests")
		if !c.Total.Known() && place.Get("processing").Set() {
			c.Total = sum(place, "processing", "succeeded", "errored", "canceled", "expired")
		}
		if c.Total.Known() || c.Completed.Known() {
			return c
		}
	}
	return c
}

func (o object) usage() (u nightshift.Usage) {
	said := o.root.Get("usage")
	in, out := firstCount(said, "input_tokens", "prompt_tokens"), firstCount(said, "output_tokens", "completion_tokens")
	if !in.Known() && !out.Known() {
		return u
	}
	u.Input, u.Output = in, out
	if cached := firstCount(said.Get("input_tokens_details"), "cached_tokens"); cached.Known() && cached.N() <= in.N() {
		u.Input, u.CacheRead = nightshift.Tokens(in.N()-cached.N()), cached
	}
	u.Reasoning = firstCount(said.Get("output_tokens_details"), "reasoning_tokens")
	return u
}

// input is the id of the input file.
func (o object) input() string {
	if id := o.text("input_file_id", "input_file", "inputDatasetId"); id != "" {
		return lastSegment(id, "datasets")
	}
	for _, config := range []string{"inputConfig", "input_config"} {
		c := o.get(config)
		for _, name := range []string{"fileName", "file_name"} {
			if id := c.Get(name).String(); id != "" {
				return id
			}
		}
	}
	return o.root.Get("input_files").First().String()
}

// lastSegment is what follows the last slash of a name in a collection.
func lastSegment(name, collection string) string {
	if _, rest, ok := strings.Cut(name, "/"+collection+"/"); ok {
		return rest
	}
	return name
}

// results are the handles of the result files.
func (o object) results(fixed string, p nightshift.BatchPhase) (all []string) {
	if fixed != "" {
		if p.Ended() && (p != nightshift.BatchFailed || o.counts().Completed.N() > 0) {
			all = append(all, fixed)
		}
		return all
	}
	for _, name := range []string{"output_file_id", "output_file", "responsesFile", "responses_file", "fileName",
		"error_file_id", "error_file"} {
		if id := o.text(name); id != "" && !slices.Contains(all, id) {
			all = append(all, id)
		}
	}
	if id := o.text("outputDatasetId"); id != "" && p.Ended() {
		all = append(all, lastSegment(id, "datasets"))
	}
	return all
}

// A complaint is one thing that a server says went wrong with a batch.
type complaint struct {
	code, message string
	line          int
}

func (o object) complaints() (all []complaint) {
	add := func(v rawjson.Value) {
		if text, ok := v.Text(); ok && text != "" {
			all = append(all, complaint{message: text})
			return
		}
		if v.Kind() != rawjson.Object {
			return
		}
		c := complaint{message: v.Get("message").String()}
		c.code, _ = v.Get("code").Words()
		line, _ := v.Get("line").Int()
		c.line = int(min(max(line, 0), math.MaxInt32))
		if c.code != "" || c.message != "" {
			all = append(all, c)
		}
	}
	errs := o.root.Get("errors")
	if data := errs.Get("data"); data.Set() {
		errs = data
	}
	if errs.Kind() == rawjson.Array {
		for e := errs.First(); e.Exists() && len(all) < 1000; e = e.Next() {
			add(e)
		}
	} else {
		add(errs)
	}
	add(o.root.Get("error"))
	add(o.root.Get("cancel_by_xai_message"))
	if status := o.root.Get("status"); status.Kind() == rawjson.Object && !status.Get("code").Is("OK") {
		add(status)
	}
	return all
}

// passingWords are those of a server that failed by itself.
var passingWords = pattern.Late(`(?i)internal(?: server)?[ _]error|server_error|temporar|unavailable|timed? ?out`)

// failure says why a batch failed: the complaint that names a line, else the
// first.
func (o object) failure() *nightshift.BatchError {
	all := o.complaints()
	if len(all) == 0 {
		all = []complaint{{message: "the server does not say why"}}
	}
	c := all[0]
	if i := slices.IndexFunc(all, func(c complaint) bool { return c.line > 0 }); i >= 0 {
		c = all[i]
	}
	text, _ := rawjson.Marshal(map[string]any{"error": map[string]string{"code": c.code, "message": c.message}})
	e := providers.Classify(400, nil, text)
	if e.Status = 0; e.Class == nightshift.ClassInvalidRequest && passingWords().MatchString(c.code+" "+c.message) {
		e.Class = nightshift.ClassServer
	}
	f := &nightshift.BatchError{Err: e, Next: nightshift.BatchStop}
	f.Cause, f.Line, f.Limit = causeOf(e)
	if f.Cause == "" || f.Cause == nightshift.BatchBadRow {
		f.Cause, f.Line, _ = badRow(cmp.Or(c.line, f.Line))
	}
	if f.Cause != "" || nextOf(e) == nightshift.BatchAgain {
		f.Next = nightshift.BatchAgain
	}
	return f
}
