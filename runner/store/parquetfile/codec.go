package parquetfile

import (
	"sync"

	kzstd "github.com/klauspost/compress/zstd"
	"github.com/parquet-go/parquet-go/compress/zstd"
)

// A codec compresses as parquet-go's does at its fastest level, in a part of
// the memory: a page is hardly ever larger than pageBytes, so an encoder need
// not look further back.
type codec struct{ zstd.Codec }

const pageBytes = 256 << 10

var encoders = sync.Pool{New: func() any {
	e, err := kzstd.NewWriter(nil, kzstd.WithEncoderLevel(kzstd.SpeedFastest), kzstd.WithEncoderConcurrency(1),
		kzstd.WithWindowSize(pageBytes), kzstd.WithZeroFrames(true), kzstd.WithEncoderCRC(false))
	if err != nil {
		panic(err) // an option is wrong
	}
	return e
}}

// Encode implements the interface of parquet-go's codecs.
func (c *codec) Encode(dst, src []byte) ([]byte, error) {
	e := encoders.Get().(*kzstd.Encoder)
	defer encoders.Put(e)
	return e.EncodeAll(src, dst[:0]), nil
}
