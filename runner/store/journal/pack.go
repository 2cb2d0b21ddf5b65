package journal

import (
	"encoding/base64"
	"fmt"

	"github.com/klauspost/compress/s2"
)

// The raw body of a streamed answer is ten times as long as its text, nearly
// the same from event to event, and full of quotes, each of which JSON
// escapes. The journal holds it as a block of S2 (a form of Snappy) in base64:
// a tenth of the bytes, written and read in a fifth of the time.

// packFrom is the length of a raw body from which packing is tried. Short ones
// repeat too little to gain by it.
const packFrom = 4 << 10

// rawMember is the name in the line of a result. It is a member of the line and
// not of the record, whose members are named as the columns.
const rawMember = `,"raw_s2":"`

// maxUnpacked bounds the memory that a block can ask for.
const maxUnpacked = 1 << 30

// pack returns the block of a raw body: a buffer for dropLine, or nil when it is
// not worth it.
func pack(raw *string) []byte {
	if raw == nil || len(*raw) < packFrom || len(*raw) > maxUnpacked {
		return nil
	}
	plain, room := newLine(len(*raw)), newLine(s2.MaxEncodedLen(len(*raw)))
	defer dropLine(plain)
	block := s2.Encode(room[:0], append(plain[:0], *raw...))
	if base64.StdEncoding.EncodedLen(len(block)) > len(*raw)*3/4 {
		dropLine(room)
		return nil
	}
	return block
}

// unpack takes the raw body out of a block in base64.
func unpack(packed []byte) (raw string, err error) {
	room := newLine(base64.StdEncoding.DecodedLen(len(packed)))
	defer dropLine(room)
	block, err := base64.StdEncoding.AppendDecode(room[:0], packed)
	if err != nil {
		return "", fmt.Errorf("raw_s2: %w", err)
	}
	n, err := s2.DecodedLen(block)
	if err == nil && n > maxUnpacked {
		err = fmt.Errorf("it unpacks to %d bytes", n)
	}
	if err != nil {
		return "", fmt.Errorf("raw_s2: %w", err)
	}
	plain := newLine(n)
	defer dropLine(plain)
	body, err := s2.Decode(plain[:cap(plain)], block)
	if err != nil {
		return "", fmt.Errorf("raw_s2: %w", err)
	}
	return string(body), nil
}
