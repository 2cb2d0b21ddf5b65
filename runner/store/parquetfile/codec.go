package parquetfile

import (
	kzstd "github.com/klauspost/compress/zstd"
	"github.com/parquet-go/parquet-go/compress/zstd"
)

// pageBytes is about how large a page becomes before it is compressed. Pages that
// are open and encoders are most of what a file in the making holds in memory.
const pageBytes = 256 << 10

// A codec compresses as parquet-go's does at its fastest level, in a part of
// the memory: a page is hardly ever larger than pageBytes, so an encoder need
// not look further back. It belongs to one file that is written.
type codec struct {
	zstd.Codec
	encoder *kzstd.Encoder // nil before the first page
}

// Encode implements the interface of parquet-go's codecs.
func (c *codec) Encode(dst, src []byte) (_ []byte, err error) {
	if c.encoder == nil {
		c.encoder, err = kzstd.NewWriter(nil, kzstd.WithEncoderLevel(kzstd.SpeedFastest), kzstd.WithEncoderConcurrency(1),
			kzstd.WithWindowSize(pageBytes), kzstd.WithZeroFrames(true), kzstd.WithEncoderCRC(false))
		if err != nil {
			return nil, err
		}
	}
	return c.encoder.EncodeAll(src, dst[:0]), nil
}
