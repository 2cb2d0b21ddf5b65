package journal

import (
	"bytes"
	"nightshift/runner/store/internal/testdata/storetest"
	"strings"
	"testing"
)

func TestScanLinesFindsRecordsBehindDamage(t *testing.T) {
	line := func(s string) string {
		b, _ := sealLine(append(lineBuffer(nil), s...))
		return string(b)
	}
	a, b, c := line(`{"k":"a"}`), line(`{"k":"b"}`), line(`{"k":"c"}`)
	for _, tc := range []struct {
		name, in string
		want     string // kinds found
		bad      int    // spans that are none
	}{
		{"empty", "", "", 0},
		{"plain", a + b + c, "abc", 0},
		{"no last newline", a + strings.TrimSuffix(b, "\n"), "ab", 0},
		{"newline hit", strings.TrimSuffix(a, "\n") + "\v" + b, "ab", 0},
		{"newline lost", strings.TrimSuffix(a, "\n") + b, "ab", 0},
		{"torn record before a whole one", a[:12] + b, "b", 1},
		{"torn prefix", a[:5] + "\n" + b, "b", 1},
		{"zeros", a + strings.Repeat("\x00", 50) + b, "ab", 1},
		{"zeros and newline", a + "\x00\x00\n" + b, "ab", 1},
		{"blank lines", a + "\n\n" + b, "ab", 0},
		{"wrong kind of object", "00000000 {\"x\":1}\n" + b, "b", 1},
		{"upper-case checksum", strings.ToUpper(a[:8]) + a[8:] + b, strings.Map(func(r rune) rune {
			if r == 'a' && strings.ToUpper(a[:8]) != a[:8] {
				return -1
			}
			return r
		}, "ab"), 1},
	} {
		var found string
		bad := 0
		err := ScanLines(strings.NewReader(tc.in), func(s Span) error {
			if s.Object == nil {
				bad++
			} else {
				found += string(s.Object[6])
			}
			return nil
		})
		if err != nil || found != tc.want || bad != tc.bad {
			t.Errorf("%s: found %q, %d bad, %v; want %q, %d", tc.name, found, bad, err, tc.want, tc.bad)
		}
	}
}

// A line may be longer than any buffer.
func TestScanLongLines(t *testing.T) {
	long := `{"k":"` + strings.Repeat("x", 3<<20) + `"}`
	line, _ := sealLine(append(lineBuffer(nil), long...))
	n := 0
	storetest.Must(t, ScanLines(bytes.NewReader(append(line, line...)), func(s Span) error {
		if string(s.Object) != long || s.Off != int64(n*len(line)) {
			t.Fatalf("line %d at %d has %d bytes", n, s.Off, len(s.Object))
		}
		n++
		return nil
	}))
	if n != 2 {
		t.Fatalf("%d lines", n)
	}
}

// FuzzScanLines: whatever the bytes, spans cover them in order, and every
// record checks.
func FuzzScanLines(f *testing.F) {
	line, _ := sealLine(append(lineBuffer(nil), `{"k":"a"}`...))
	f.Add(line)
	f.Add(append(line[:5:5], line...))
	f.Add([]byte("\n\n00000000 {\"k\":\"a\"}\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		end := int64(0)
		storetest.Must(t, ScanLines(bytes.NewReader(b), func(s Span) error {
			if s.Off < end || !bytes.Equal(b[s.Off:s.Off+int64(len(s.Raw))], s.Raw) {
				t.Fatalf("span at %d, %q", s.Off, s.Raw)
			}
			if between := bytes.Trim(b[end:s.Off], "\n"); len(between) > 1 {
				t.Fatalf("bytes %q were passed over", between)
			}
			end = s.Off + int64(len(s.Raw))
			if s.Object != nil {
				again, crc := sealLine(append(lineBuffer(nil), s.Object...))
				if crc != s.CRC || !bytes.Equal(again[:len(again)-1], s.Raw) {
					t.Fatalf("%q is not the line of its object", s.Raw)
				}
			}
			return nil
		}))
	})
}
