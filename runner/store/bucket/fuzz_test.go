package bucket_test

import (
	"encoding/hex"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"nightshift/internal/testdata/s3test"
	"nightshift/runner/store/bucket"
)

// FuzzPiece reads pieces of the log that anybody may have written who can write
// into the bucket: no file that they name is outside of the run, and what was read
// is read again as it was.
func FuzzPiece(f *testing.F) {
	for _, raw := range somePieces(f) {
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		_, _, _ = bucket.Decode(raw) // it need not be packed
		names, again, err := bucket.Decode(bucket.Pack(raw))
		if err != nil {
			return
		}
		for _, n := range names {
			if !filepath.IsLocal(filepath.FromSlash(n.Path)) || strings.HasPrefix(n.Path, "join/") {
				t.Errorf("%q is no file of the run", n.Path)
			}
			if n.Object != "" && n.Object != n.Path && !strings.HasPrefix(n.Object, "files/") {
				t.Errorf("%q is no object of the run", n.Object)
			}
			if _, err := hex.DecodeString(n.SHA256); err != nil {
				t.Errorf("%q is no SHA-256", n.SHA256)
			}
		}
		same, _, err := bucket.Decode(again)
		if err != nil || !slices.Equal(same, names) {
			t.Errorf("%v became %v: %v", names, same, err)
		}
	})
}

// somePieces are pieces that a run wrote, unpacked.
func somePieces(f *testing.F) (list [][]byte) {
	s, here := s3test.New(f), f.TempDir()
	w := open(f, at(f, s, "a"), here)
	aRun(f, w, here, 2)
	if err := w.Close(); err != nil {
		f.Fatal(err)
	}
	for _, key := range s.Keys("a/log/") {
		raw, err := bucket.Unpack(s.Object(key))
		if err != nil {
			f.Fatal(err)
		}
		list = append(list, raw)
	}
	return list
}
