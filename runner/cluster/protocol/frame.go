// Package protocol is what the hub of a run and its workers say to each other:
// messages in frames over one connection that keeps their order.
//
// A worker says [Hello]; the hub answers with [Welcome] or [Refusal]. The worker
// then says in [Ready] what it holds of this run and what it can send, and from
// there on gets a [Do] for each attempt and answers it with [Done], or with
// [NotSent] when it has certainly sent nothing. Every Done is kept by the worker,
// and said again after each new connection, until the hub says [Kept]. Where the Do
// asks for it, a word that the answer has begun goes before, which may be lost.
package protocol

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
)

// Version is the number of the protocol. Others are refused.
const Version = 2

// MaxFrame bounds one frame, in bytes: an answer with its raw body, its text and
// its reasoning, each of which a wire caps at 64 MiB.
const MaxFrame = 256 << 20

// maxBlobs bounds the blobs of a frame.
const maxBlobs = 8

// A Kind says what a frame holds.
type Kind byte

const (
	KindHello Kind = 1 + iota
	KindWelcome
	KindRefusal
	KindReady
	KindEndpoints
	KindAlive
	KindAnswer // to an alive
	KindDo
	KindDone
	KindNotSent
	KindKept
	KindCancel
	KindDraining
	KindEnd
	KindBegun
	kinds
)

// A Frame is one message as it travels: a head, in JSON or in a short form, and
// blobs for what is long or need not be text.
type Frame struct {
	Kind  Kind
	Head  []byte
	Blobs [][]byte
}

// size is how many bytes the content of a frame takes at most.
func (f Frame) size() int {
	n := 2 + binary.MaxVarintLen64*(1+len(f.Blobs)) + len(f.Head)
	for _, b := range f.Blobs {
		n += len(b)
	}
	return n
}

var table = crc32.MakeTable(crc32.Castagnoli)

// ErrDamaged is returned for frames that are not as they were written.
var ErrDamaged = errors.New("damaged frame")

// Append appends the frame: its length and its CRC-32C, each in four bytes,
// little endian, and the content that both are of.
func (f Frame) Append(dst []byte) ([]byte, error) {
	at := len(dst)
	dst = append(dst, make([]byte, 8)...)
	dst = append(dst, byte(f.Kind), byte(len(f.Blobs)))
	dst = binary.AppendUvarint(dst, uint64(len(f.Head)))
	for _, b := range f.Blobs {
		dst = binary.AppendUvarint(dst, uint64(len(b)))
	}
	dst = append(dst, f.Head...)
	for _, b := range f.Blobs {
		dst = append(dst, b...)
	}
	content := dst[at+8:]
	if len(content) > MaxFrame {
		return dst[:at], fmt.Errorf("a message of %d bytes is over the bound of %d", len(content), MaxFrame)
	}
	binary.LittleEndian.PutUint32(dst[at:], uint32(len(content)))
	binary.LittleEndian.PutUint32(dst[at+4:], crc32.Checksum(content, table))
	return dst, nil
}

// Read reads one frame of at most most bytes. Memory grows with what has
// arrived, not with what was announced. The error is [ErrDamaged] where the
// content is not what was written, and io.EOF before the first byte of a frame.
func Read(r *bufio.Reader, most int) (Frame, error) {
	var head [8]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return Frame{}, err
	}
	n, sum := int(binary.LittleEndian.Uint32(head[:])), binary.LittleEndian.Uint32(head[4:])
	if n > most {
		return Frame{}, fmt.Errorf("a message of %d bytes was announced; the bound is %d: %w", n, most, ErrDamaged)
	}
	content, err := readExactly(r, n)
	if err != nil {
		return Frame{}, err
	}
	if crc32.Checksum(content, table) != sum {
		return Frame{}, ErrDamaged
	}
	return parse(content)
}

// firstPiece is how much is allocated before anything of a frame has come.
const firstPiece = 64 << 10

func readExactly(r io.Reader, n int) ([]byte, error) {
	if n <= firstPiece {
		b := make([]byte, n)
		_, err := io.ReadFull(r, b)
		return b, unexpected(err)
	}
	var b bytes.Buffer
	b.Grow(firstPiece)
	_, err := io.CopyN(&b, r, int64(n))
	return b.Bytes(), unexpected(err)
}

func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// parse takes the content of a frame apart; head and blobs lie in it.
func parse(content []byte) (Frame, error) {
	if len(content) < 2 || Kind(content[0]) == 0 || Kind(content[0]) >= kinds || content[1] > maxBlobs {
		return Frame{}, ErrDamaged
	}
	f := Frame{Kind: Kind(content[0]), Blobs: make([][]byte, content[1])}
	rest := content[2:]
	lengths := make([]uint64, len(f.Blobs)+1)
	for i := range lengths {
		n, size := binary.Uvarint(rest)
		if size <= 0 {
			return Frame{}, ErrDamaged
		}
		lengths[i], rest = n, rest[size:]
	}
	for i, n := range lengths {
		if n > uint64(len(rest)) {
			return Frame{}, ErrDamaged
		}
		part := rest[:n:n]
		if rest = rest[n:]; i == 0 {
			f.Head = part
		} else {
			f.Blobs[i-1] = part
		}
	}
	if len(rest) > 0 {
		return Frame{}, ErrDamaged
	}
	return f, nil
}
