package parquetfile

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math"
	"reflect"
	"time"
	"unsafe"

	"github.com/parquet-go/parquet-go"

	"nightshift"
	"nightshift/runner/store/internal/records"
)

// A digester computes a checksum of all values of all records so far: once
// when they are written, and again when they are read back.
type digester struct {
	all  uint32
	buf  []byte // the last record
	ends []int  // where each of its fields ends in buf
	// lacks are the fields of a Record that the file has no column for: it is
	// older than they are, and they are not in its checksum.
	lacks map[int]bool
}

// digesterOf returns the digester for the records of a file, which an older
// version of the program may have written.
func digesterOf(pf *parquet.File) (d digester) {
	for _, f := range recordColumns {
		if _, there := leafOf(pf.Schema(), f.name); !there {
			if d.lacks == nil {
				d.lacks = map[int]bool{}
			}
			d.lacks[f.index] = true
		}
	}
	return d
}

func (d *digester) add(rec *nightshift.Record) {
	d.buf, d.ends = d.buf[:0], d.ends[:0]
	for i := range records.Fields {
		if f := &records.Fields[i]; d.lacks == nil || !d.lacks[i] {
			d.field(f, f.Of(rec))
		}
		d.ends = append(d.ends, len(d.buf))
	}
	d.all = crc32.Update(d.all, castagnoli, d.buf)
}

func (d *digester) field(f *records.Field, at unsafe.Pointer) {
	if f.Pointer() {
		if at == nil {
			d.buf = append(d.buf, 0)
			return
		}
		d.buf = append(d.buf, 1)
	}
	switch f.Kind {
	case reflect.String:
		text := *(*string)(at)
		d.number(uint64(len(text)))
		d.buf = append(d.buf, text...)
	case reflect.Int64:
		d.number(uint64(*(*int64)(at)))
	case reflect.Int32:
		d.number(uint64(*(*int32)(at)))
	case reflect.Float64:
		d.number(math.Float64bits(*(*float64)(at)))
	case reflect.Bool:
		d.truth(*(*bool)(at))
	case reflect.Slice:
		if f.Type == reflect.TypeFor[nightshift.Vector]() {
			v := *(*nightshift.Vector)(at)
			d.number(uint64(len(v)))
			d.buf = v.AppendBytes(d.buf)
			return
		}
		body := *(*[]byte)(at)
		d.number(uint64(len(body)))
		d.buf = append(d.buf, body...)
	case reflect.Struct:
		d.number(uint64((*time.Time)(at).UnixMicro()))
	default:
		panic("parquetfile: no digest for a field of kind " + f.Kind.String())
	}
}

func (d *digester) truth(b bool) {
	n := uint64(0)
	if b {
		n = 1
	}
	d.number(n)
}

func (d *digester) number(n uint64) { d.buf = binary.LittleEndian.AppendUint64(d.buf, n) }

// sum is the checksum of all records so far, as it stands in the footer.
func (d *digester) sum() string { return fmt.Sprintf("%08x", d.all) }

// check compares the footer with the records that went through d.
func (d *digester) check(pf *parquet.File) error {
	if want, there := pf.Lookup(rowsChecksum); !there || want != d.sum() {
		return fmt.Errorf("the checksum of its rows is %s, its footer says %q", d.sum(), want)
	}
	return nil
}
