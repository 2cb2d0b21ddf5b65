package bucket_test

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"nightshift/internal/testdata/mutanttest"
)

// mutants each break one rule of runs in buckets; tests of a package have to notice.
var mutants = []struct{ name, file, from, to, pkg, run string }{
	{"the fence is not looked at", "writer.go",
		"return w.whose(ctx, p.head.Seq, body)", "return nil", "bucket", "TestOneWriter"},
	{"a piece takes the place of another", "writer.go",
		"_, err := w.bucket.Put(ctx, pieceKey(p.head.Seq), body, s3.Condition{Absent: true})",
		"_, err := w.bucket.Put(ctx, pieceKey(p.head.Seq), body, s3.Condition{})", "bucket", "TestOneWriter"},
	{"a claim takes the place of another", "open.go",
		"etag, err := w.bucket.Put(ctx, key, body, s3.Condition{Absent: true})",
		"etag, err := w.bucket.Put(ctx, key, body, s3.Condition{})", "bucket", "TestOneOfManyClaims"},
	{"a late claim counts", "open.go", "if len(higher) > 0 {", "if len(higher) < 0 {", "bucket", "TestClaimTooLate"},
	{"claims are deleted", "state.go", "if p.head.Kind != kindClaim {", "if p.head.Kind != kindEnd {", "bucket",
		"TestOneWriter"},
	{"it is said to be there before it is shipped", "writer.go", "err = w.shipRound(roots, whole, last)",
		"for _, tell := range waiting {\n\t\t\ttell(nil)\n\t\t}\n\t\twaiting = nil\n" +
			"\t\terr = w.shipRound(roots, whole, last)",
		"bucket", "TestOneWriter|TestAway"},
	{"a take-over does not read the last piece", "copy.go",
		"c.bucket, seqs, func(p piece) error { return c.apply(ctx, p) }",
		"c.bucket, seqs, func(p piece) error {\n\t\t\tif p.head.Seq == seqs[len(seqs)-1] {\n\t\t\t\tp.entries = nil\n" +
			"\t\t\t}\n\t\t\treturn c.apply(ctx, p)\n\t\t}", "bucket", "TestKilled|TestTakeOver|TestSnapshot"},
	{"nobody waits for a living writer", "open.go", "if last.Seq > 0 && last.Kind != kindEnd && !ours {",
		"if last.Seq < 0 {", "bucket", "TestInUse"},
	{"what a machine has stays though another went on", "open.go", "\tif !ours {\n\t\tif err := w.setAside(had)",
		"\tif !ours && last.Seq < 0 {\n\t\tif err := w.setAside(had)", "bucket", "TestTakeOverElsewhere"},
	{"the log names what is not stored", "writer.go", "if err := w.putObject(e); err != nil {",
		"if err := error(nil); e.Size < 0 {", "bucket", "TestTakeOverElsewhere"},
	{"a late Parquet file takes the place of another", "writer.go",
		"_, err = w.bucket.PutFile(ctx, e.Object, f, e.Size, sum, s3.Condition{Absent: true})",
		"_, err = w.bucket.PutFile(ctx, e.Object, f, e.Size, sum, s3.Condition{})", "bucket", "TestLateParquetFile"},
	{"a lost answer is another writer", "writer.go", "if bytes.Equal(there, body) {", "if bytes.Equal(there, nil) {",
		"bucket", "TestUncertainAnswers"},
	{"pieces are deleted that are needed", "state.go", "if p.refs <= 0 && seq < s.last.Seq {",
		"if p.refs <= 1 && seq < s.last.Seq {", "bucket", "TestTakeOver|TestPiecesAreJoined|TestKilled"},
	{"conditions are not tried", "probe.go", "case won > 1:", "case won > racers:", "bucket", "TestProbe"},
	{"a batch is created before the bucket knows", "../batches.go", "return r.ship()", "return nil", "runner",
		"TestBatchKillInBucket"},
	{"a request is sent before the bucket knows", "../shard.go",
		"CrashPoint(\"intent.written\")\n\tif err == nil {\n\t\terr = w.u.r.Err()\n\t}\n\tif err == nil {",
		"CrashPoint(\"intent.written\")\n\tif err == nil {\n\t\terr = w.u.r.Err()\n\t}\n\tif err != nil {",
		"store", "TestIntentsAreKeptElsewhere"},
}

// TestMutants breaks one rule after the other and sees a test fail.
func TestMutants(t *testing.T) {
	if os.Getenv("NIGHTSHIFT_LONG") == "" {
		t.Skip("compiles the packages for each mutant; set NIGHTSHIFT_LONG=1")
	}
	packages := map[string]string{"bucket": ".", "store": "..", "runner": "../.."}
	for _, m := range mutants {
		t.Run(m.name, func(t *testing.T) {
			overlay := mutanttest.Overlay(t, m.file, m.from, m.to)
			cmd := exec.Command("go", "test", "-run", "^("+m.run+")", "-count=1", "-timeout", "2m", packages[m.pkg])
			cmd.Env = append(os.Environ(), "GOFLAGS=-trimpath -overlay="+overlay, "NIGHTSHIFT_LONG=", "NIGHTSHIFT_KILLS=40")
			out, err := cmd.CombinedOutput()
			if err == nil {
				t.Fatal("no test has noticed")
			}
			if !strings.Contains(string(out), "--- FAIL") || strings.Contains(string(out), "[build failed]") {
				t.Fatalf("it was not tried to the end: %s", out)
			}
		})
	}
}
