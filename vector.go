package nightshift

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
)

// A Vector is the embedding of a text. As JSON it is the base64 of its numbers
// as little-endian float32; a list of numbers is read too.
type Vector []float32

// MarshalJSON writes base64.
func (v Vector) MarshalJSON() ([]byte, error) {
	if v == nil {
		return []byte("null"), nil
	}
	b := append(base64.StdEncoding.AppendEncode([]byte{'"'}, v.AppendBytes(nil)), '"')
	return b, nil
}

// AppendBytes appends the numbers as little-endian float32.
func (v Vector) AppendBytes(b []byte) []byte {
	for _, x := range v {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(x))
	}
	return b
}

// VectorOf reads little-endian float32; ok is false when they are no whole
// number of them.
func VectorOf(b []byte) (v Vector, ok bool) {
	if len(b)%4 != 0 {
		return nil, false
	}
	v = make(Vector, len(b)/4)
	for i := range v {
		v[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
	}
	return v, true
}

// Finite reports whether no number is infinite or NaN.
func (v Vector) Finite() bool {
	for _, x := range v {
		if f := float64(x); math.IsNaN(f) || math.IsInf(f, 0) {
			return false
		}
	}
	return true
}

// UnmarshalJSON reads a list of numbers or base64.
func (v *Vector) UnmarshalJSON(text []byte) error {
	if len(text) == 0 || text[0] != '"' {
		return json.Unmarshal(text, (*[]float32)(v))
	}
	var encoded string
	if err := json.Unmarshal(text, &encoded); err != nil {
		return err
	}
	b, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return fmt.Errorf("vector: %w", err)
	}
	read, ok := VectorOf(b)
	if !ok {
		return fmt.Errorf("vector: %d bytes are no list of float32", len(b))
	}
	*v = read
	return nil
}
