package storetest

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"nightshift"
	"nightshift/internal/fsx"
	"reflect"
	"strings"
	"testing"
	"time"
)

func Ptr[T any](v T) *T { return &v }

// Record is a small, plausible record.
func Record(model string, row int64, epoch int) *nightshift.Record {
	return &nightshift.Record{
		Run: "test", Row: row, ID: fmt.Sprint(row), Epoch: int32(epoch), Model: model, Endpoint: "e", Protocol: "chat",
		RequestedModel: model, Outcome: nightshift.OutcomeOK, Text: Ptr(fmt.Sprintf("answer to %d.%d", row, epoch)),
		StopReason: Ptr("end"), InputTokens: Ptr(int64(10)), OutputTokens: Ptr(int64(5)), CostNanoUSD: Ptr(int64(1000)),
		CostUSD: Ptr(1e-6), Attempts: 1,
	}
}

func Must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// LargeRecord is a record of about 3 KB, as a usual answer makes it.
func LargeRecord(rng *rand.Rand, model string, row int64) *nightshift.Record {
	words := []string{"the", "quick", "\"brown\"", "fox", "jumps", "over", "a", "lazy", "dog.\n", "Answer:", "42", "él"}
	text := func(n int) *string {
		var b strings.Builder
		for b.Len() < n {
			b.WriteString(words[rng.IntN(len(words))])
			b.WriteByte(' ')
		}
		return Ptr(b.String())
	}
	rec := Record(model, row, 0)
	rec.Text, rec.System, rec.Input, rec.RawResponse = text(600), text(100), text(500), text(1300)
	rec.AttemptLog = Ptr(`[{"n":1,"started_at":"2026-11-21T22:00:00Z","duration_ms":1234.5,"status":200,` +
		`"usage":{"input":100,"output":200}}]`)
	rec.UsageRaw = Ptr(`{"prompt_tokens":100,"completion_tokens":200,"total_tokens":300}`)
	rec.RowHash, rec.PromptHash, rec.RequestHash = strings.Repeat("ab", 16), strings.Repeat("cd", 32),
		Ptr(strings.Repeat("ef", 32))
	now := time.Now()
	rec.StartedAt, rec.FinishedAt, rec.LatencyMS = &now, &now, Ptr(1234.5)
	return rec
}

func Utf8Garbage(n int) []byte {
	rng := rand.New(rand.NewPCG(3, 3))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(rng.IntN(256))
	}
	return b
}

// HostileRecord fills every field of a Record with something nasty, or
// nothing, or zero.
func HostileRecord(rng *rand.Rand, model string, row int64, epoch int) *nightshift.Record {
	rec := &nightshift.Record{}
	v := reflect.ValueOf(rec).Elem()
	for i := range v.NumField() {
		f := v.Field(i)
		if f.Kind() == reflect.Pointer {
			if rng.IntN(3) == 0 {
				continue
			}
			f.Set(reflect.New(f.Type().Elem()))
			f = f.Elem()
		}
		hostileValue(rng, f)
	}
	rec.Row, rec.Epoch, rec.Model = row, int32(epoch), model
	return rec
}

func hostileValue(rng *rand.Rand, f reflect.Value) {
	switch f.Kind() {
	case reflect.String:
		s := HostileTexts[rng.IntN(len(HostileTexts))]
		if rng.IntN(3) == 0 {
			s += HostileTexts[rng.IntN(len(HostileTexts))]
		}
		f.SetString(s)
	case reflect.Int64:
		f.SetInt([]int64{0, 1, -1, math.MaxInt64, math.MinInt64, 1<<53 + 1, rng.Int64()}[rng.IntN(7)])
	case reflect.Int32:
		f.SetInt([]int64{0, 1, -1, math.MaxInt32, math.MinInt32}[rng.IntN(5)])
	case reflect.Float64:
		f.SetFloat([]float64{0, math.Copysign(0, -1), 1, math.MaxFloat64, math.SmallestNonzeroFloat64, math.NaN(),
			math.Inf(1), math.Inf(-1), 0.1}[rng.IntN(9)])
	case reflect.Bool:
		f.SetBool(rng.IntN(2) == 0)
	case reflect.Slice:
		if f.Type() == reflect.TypeFor[nightshift.Vector]() {
			f.Set(reflect.ValueOf(hostileVectors[rng.IntN(len(hostileVectors))]))
			return
		}
		f.SetBytes([][]byte{nil, {}, {0}, {0xff, 0}, Utf8Garbage(300)}[rng.IntN(5)])
	case reflect.Struct:
		times := []time.Time{
			{}, time.Unix(0, 0), time.Unix(-1, 999_999_999), time.Unix(1, 1500), time.Date(1700, 1, 1, 0, 0, 0, 1, time.UTC),
			time.Date(2200, 12, 31, 23, 59, 59, 999_999_999, time.FixedZone("x", 3600)),
			time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(-5, 1, 1, 0, 0, 0, 0, time.UTC),
		}
		f.Set(reflect.ValueOf(times[rng.IntN(len(times))]))
	default:
		panic(f.Kind())
	}
}

var hostileVectors = []nightshift.Vector{
	nil, {}, {0}, {float32(math.Copysign(0, -1)), math.MaxFloat32, math.SmallestNonzeroFloat32, 0.1},
	{float32(math.NaN())}, {1, float32(math.Inf(-1))}, make(nightshift.Vector, 3000),
}

func FirstDifference(got, want nightshift.Record) string {
	g, w := reflect.ValueOf(got), reflect.ValueOf(want)
	for i := range g.NumField() {
		if !reflect.DeepEqual(g.Field(i).Interface(), w.Field(i).Interface()) {
			a, _ := json.Marshal(g.Field(i).Interface())
			b, _ := json.Marshal(w.Field(i).Interface())
			return fmt.Sprintf("%s = %s, want %s", g.Type().Field(i).Name, a, b)
		}
	}
	return "no difference"
}

// FailedRecord is a record of a row that got no answer in n attempts.
func FailedRecord(model string, row int64, log []nightshift.Attempt) *nightshift.Record {
	rec := Record(model, row, 0)
	rec.Text, rec.StopReason, rec.InputTokens, rec.OutputTokens = nil, nil, nil, nil
	rec.Outcome = nightshift.OutcomeFailed
	rec.Attempts = int32(len(log))
	var cost int64
	for _, a := range log {
		if a.Cost != nil {
			cost += int64(*a.Cost)
		}
		rec.MaybeBilled = rec.MaybeBilled || a.MaybeBilled
	}
	rec.CostNanoUSD = &cost
	b, err := json.Marshal(log)
	if err != nil {
		panic(err)
	}
	rec.AttemptLog = Ptr(string(b))
	return rec
}

// HostileTexts are values that some reader or writer has got wrong before.
var HostileTexts = []string{
	"", " ", "\x00", "a\x00b", "\ufeff", "\u2028\u2029", "\u202e\u2066", "\u200b", "=1+1", "'", "\"", "\\", "\r\n", "\t",
	"null", "NULL", "NaN", "{}", "[]", `{"k":"result"}`, "\xff\xfe", "caf\xe9", "\xed\xa0\x80", "\xed\xbf\xbf tail",
	"\xc0\x80", "\xf4\x90\x80\x80", "ok\xe2\x82",
	"😀", "\U0010ffff", "e\u0301", "日本語", "</script>", "<&>", strings.Repeat("long ", 2000),
	string(Utf8Garbage(97)),
}

// ReportCPU reports the processor time of everything the process does, which
// a busy machine does not distort as it does the time on the wall.
func ReportCPU(b *testing.B) {
	start := fsx.ProcessorTime()
	b.Cleanup(func() { b.ReportMetric(float64((fsx.ProcessorTime()-start).Nanoseconds())/float64(b.N), "cpu-ns/op") })
}
