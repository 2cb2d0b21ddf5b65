package parquetfile

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"strconv"

	"nightshift"
	"nightshift/runner/store/internal/records"
)

// CheckData compares the pages, byte for byte, with the checksum in the
// footer.
func (f *File) CheckData() error {
	size, there := f.Lookup(dataBytes)
	want, there2 := f.Lookup(dataChecksum)
	n, err := strconv.ParseInt(size, 10, 64)
	if err != nil || !there || !there2 {
		return errors.New("its footer has no checksum of the pages")
	}
	h := crc32.New(castagnoli)
	if _, err := io.Copy(h, io.NewSectionReader(f.f, 0, n)); err != nil {
		return err
	}
	if got := fmt.Sprintf("%08x", h.Sum32()); got != want {
		return fmt.Errorf("the checksum of its pages is %s, its footer says %s", got, want)
	}
	return nil
}

// Check decodes every value of every record and hands each record to each. It
// checks that there is exactly one record for each item, in order, and that
// the values are those that were written. The totals are of the records that
// were read, also with an error.
func (f *File) Check(want Meta, each func(*nightshift.Record)) (records.Tally, error) {
	var sum records.Tally
	d := digesterOf(f.pf)
	order := itemOrder{meta: want}
	for rec, err := range Read[nightshift.Record](f) {
		if err != nil {
			return sum, err
		}
		d.add(&rec)
		each(&rec)
		c := records.ColumnsOf(&rec)
		sum.Count(&c)
		if err := order.next(rec.Row, rec.Epoch); err != nil {
			return sum, err
		}
	}
	if err := d.check(f.pf); err != nil {
		return sum, err
	}
	return sum, order.end()
}

// CheckItems is [File.Check] of the columns that the totals need.
func (f *File) CheckItems(want Meta) (records.Tally, error) {
	var sum records.Tally
	order := itemOrder{meta: want}
	for c, err := range Read[records.Columns](f) {
		if err != nil {
			return sum, err
		}
		sum.Count(&c)
		if err := order.next(c.Row, c.Epoch); err != nil {
			return sum, err
		}
	}
	return sum, order.end()
}

// itemOrder checks that every item of a shard comes once and in order, with
// every epoch of each row.
type itemOrder struct {
	meta    Meta
	item    int64 // that should come, counted from the first row
	skipped int64 // rows left out so far
}

func (o *itemOrder) next(row int64, epoch int32) error {
	epochs := int64(o.meta.Epochs)
	wantRow, wantEpoch := o.meta.First+o.item/epochs, o.item%epochs
	if gap := row - wantRow; wantEpoch == 0 && gap > 0 && o.skipped+gap <= o.meta.Skipped {
		o.skipped += gap
		o.item += gap * epochs
		wantRow = row
	}
	if row != wantRow || int64(epoch) != wantEpoch {
		return fmt.Errorf("row %d epoch %d stands where row %d epoch %d belongs", row, epoch, wantRow, wantEpoch)
	}
	o.item++
	return nil
}

func (o *itemOrder) end() error {
	got := o.item - o.skipped*int64(o.meta.Epochs)
	if want := o.meta.Items(); got != want {
		return fmt.Errorf("%d rows of %d", got, want)
	}
	return nil
}
