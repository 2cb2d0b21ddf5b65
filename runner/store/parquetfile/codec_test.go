package parquetfile

import (
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress"
	"github.com/parquet-go/parquet-go/compress/gzip"
	"github.com/parquet-go/parquet-go/compress/lz4"
	"github.com/parquet-go/parquet-go/compress/snappy"
	"github.com/parquet-go/parquet-go/compress/uncompressed"
	"github.com/parquet-go/parquet-go/compress/zstd"

	"nightshift"
	"nightshift/internal/fsx"
	"nightshift/runner/store/internal/records"
	"nightshift/runner/store/internal/testdata/storetest"
)

// BenchmarkCodec is why Parquet files are written with zstd at its fastest level: size
// and speed of 2,000 records of 5 KB with every codec that readers know. Raw
// bytes are those of the values, the processor time is that of the writer.
func BenchmarkCodec(b *testing.B) {
	recs, raw := proseRecords(2000)
	for _, c := range []struct {
		name  string
		codec compress.Codec
	}{
		{"zstd_fastest_(chosen)", &zstd.Codec{Level: zstd.SpeedFastest}},
		{"zstd_default", &zstd.Codec{Level: zstd.SpeedDefault}},
		{"zstd_better", &zstd.Codec{Level: zstd.SpeedBetterCompression}},
		{"snappy", &snappy.Codec{}},
		{"lz4", &lz4.Codec{Level: lz4.DefaultLevel}},
		{"gzip", &gzip.Codec{Level: gzip.DefaultCompression}},
		{"uncompressed", &uncompressed.Codec{}},
	} {
		b.Run(c.name, func(b *testing.B) {
			opts := append(writerOptions(parquet.SchemaOf(new(nightshift.Record))), parquet.Compression(c.codec))
			var size countingWriter
			start := fsx.ProcessorTime()
			for b.Loop() {
				size = 0
				w := parquet.NewGenericWriter[nightshift.Record](&size, opts...)
				for i := 0; i < len(recs); i += BatchRows {
					_, err := w.Write(recs[i:min(i+BatchRows, len(recs))])
					storetest.Must(b, err)
				}
				storetest.Must(b, w.Close())
			}
			used := fsx.ProcessorTime() - start
			b.ReportMetric(100*float64(size)/float64(raw), "%-of-raw")
			b.ReportMetric(float64(raw)*float64(b.N)/1e6/used.Seconds(), "MB/cpu-s")
		})
	}
}

type countingWriter int64

func (c *countingWriter) Write(b []byte) (int, error) {
	*c += countingWriter(len(b))
	return len(b), nil
}

var _ io.Writer = new(countingWriter)

// proseRecords are records with texts that pack about as well as English: words
// as frequent as in a language, and the answer once more in the raw body.
func proseRecords(n int) (recs []nightshift.Record, raw int64) {
	rng := rand.New(rand.NewPCG(7, 7))
	words := make([]string, 8000)
	for i := range words {
		for range 1 + rng.IntN(4) {
			words[i] += string("bcdfghlmnprstvw"[rng.IntN(15)]) + string("aeiou"[rng.IntN(5)])
		}
	}
	zipf := rand.NewZipf(rng, 1.1, 4, uint64(len(words)-1))
	text := func(size int) string {
		var b strings.Builder
		for b.Len() < size {
			b.WriteString(words[zipf.Uint64()])
			b.WriteByte(" \n.,"[max(0, rng.IntN(40)-36)])
		}
		return b.String()
	}
	for i := range n {
		rec := *storetest.LargeRecord(rng, "m0", int64(i))
		answer, question := text(1200), text(800)
		rec.Text, rec.System, rec.Input = &answer, storetest.Ptr("You are a careful assistant."),
			storetest.Ptr(`[{"role":"user","content":"`+question+`"}]`)
		rec.RawResponse = storetest.Ptr(
			fmt.Sprintf(`{"id":"chatcmpl-%016x","object":"chat.completion","choices":[{"index":0,`+
				`"message":{"role":"assistant","content":%q},"finish_reason":"stop"}]}`, rng.Uint64(), answer))
		rec.RowHash, rec.PromptHash = fmt.Sprintf("%016x%016x", rng.Uint64(), rng.Uint64()),
			fmt.Sprintf("%016x%016x", rng.Uint64(), rng.Uint64())
		rec.RequestHash = storetest.Ptr(
			fmt.Sprintf("%016x%016x%016x%016x", rng.Uint64(), rng.Uint64(), rng.Uint64(), rng.Uint64()))
		raw += records.Weight(&rec)
		recs = append(recs, rec)
	}
	return recs, raw
}
