package embeddings

import (
	"encoding/base64"
	"fmt"
	"strings"

	"nightshift"
	"nightshift/internal/rawjson"
)

// vectors collects those of one answer.
type vectors struct {
	resp *nightshift.Response
	all  []nightshift.Vector
	err  *nightshift.Error
}

// wrong is an answer that was paid for and holds no vectors that can be used.
func wrong(format string, args ...any) *nightshift.Error {
	return &nightshift.Error{
		Class: nightshift.ClassBadResponse, Code: "bad_vectors", MaybeBilled: true, Message: fmt.Sprintf(format, args...),
	}
}

// place puts a vector where it belongs.
func (v *vectors) place(index int64, value rawjson.Value) {
	switch {
	case v.err != nil:
		return
	case index < 0 || index >= int64(len(v.all)):
		v.err = wrong("a vector has the index %d among %d", index, len(v.all))
		return
	case v.all[index] != nil:
		v.err = wrong("two vectors have the index %d", index)
		return
	}
	vector, err := v.read(value)
	if err == nil && len(vector) == 0 {
		err = fmt.Errorf("it is empty")
	}
	if err == nil && !vector.Finite() {
		err = fmt.Errorf("it holds NaN, an infinite number, or one that is too large")
	}
	if err != nil {
		v.err = wrong("vector %d cannot be read: %v", index, err)
		return
	}
	v.all[index] = vector
}

// end hands the vectors over.
func (v *vectors) end() *nightshift.Error {
	if v.err != nil {
		return v.err
	}
	for i, one := range v.all {
		if len(one) != len(v.all[0]) {
			return wrong("the vectors have different lengths: %d and %d", len(v.all[0]), len(v.all[i]))
		}
	}
	v.resp.Vectors, v.resp.StopReason = v.all, nightshift.StopEnd
	return nil
}

// read decodes a vector by what it is: a list of numbers, or base64 of them.
func (v *vectors) read(value rawjson.Value) (nightshift.Vector, error) {
	switch value.Kind() {
	case rawjson.Array:
		return numbers(value)
	case rawjson.String:
		return v.encoded(value.String())
	}
	return nil, fmt.Errorf("it is %s", value.Kind())
}

func numbers(list rawjson.Value) (nightshift.Vector, error) {
	vector := make(nightshift.Vector, 0, list.Count())
	for n := list.First(); n.Exists(); n = n.Next() {
		f, ok := n.Float()
		if !ok {
			return nil, fmt.Errorf("number %d of it is none", len(vector))
		}
		vector = append(vector, float32(f))
	}
	return vector, nil
}

// flagInt8 says that base64 held whole numbers of 8 bits.
const flagInt8 = "vector_int8"

// implausible is larger than any number of an embedding.
const implausible = 1e6

// encoded reads base64 of little-endian float32, or of int8 as Perplexity
// sends: nothing in the answer says which.
func (v *vectors) encoded(text string) (nightshift.Vector, error) {
	raw, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		raw, err = base64.RawStdEncoding.DecodeString(strings.TrimRight(text, "="))
	}
	if err != nil {
		return nil, fmt.Errorf("its base64: %w", err)
	}
	if vector, ok := nightshift.VectorOf(raw); ok && !wholeNumbers(vector) {
		return vector, nil
	}
	v.resp.Flag(flagInt8)
	vector := make(nightshift.Vector, len(raw))
	for i, b := range raw {
		vector[i] = float32(int8(b))
	}
	return vector, nil
}

// wholeNumbers reports whether what was read as float32 are bytes of int8: about
// half of four such bytes make a number that is far too large. A vector that a
// server could not compute is NaN all over, or here and there, which bytes are
// not.
func wholeNumbers(vector nightshift.Vector) bool {
	large, none := 0, 0
	for _, x := range vector {
		switch {
		case x != x:
			none++
		case x < -implausible || x > implausible:
			large++
		}
	}
	return 10*(large+none) > len(vector) && 2*none <= len(vector)
}
