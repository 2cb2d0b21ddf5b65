package protocol

import (
	"encoding/binary"
	"hash/crc32"
)

// Framed puts length and checksum before a content, so that the fuzzer gets past
// them.
func Framed(content []byte) []byte {
	b := binary.LittleEndian.AppendUint32(nil, uint32(len(content)))
	b = binary.LittleEndian.AppendUint32(b, crc32.Checksum(content, table))
	return append(b, content...)
}
