package parquetfile

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"

	"github.com/parquet-go/parquet-go"
)

// A cursor goes through the values of one column of a row group. The column
// has one value a row.
type cursor struct {
	pages parquet.Pages
	page  parquet.Page // nil between two
	left  int64        // values of the page that are still to come
	known int          // values of the page that are behind and were not null
	row   int64        // that comes next
	top   byte         // definition level of what is not null

	values parquet.ValueReader // of the page, for each
	buf    []parquet.Value
}

// each calls use with the next n values, which are good until use returns. It is not
// for cursors that go on otherwise.
func (c *cursor) each(n int, use func(i int, v *parquet.Value) error) error {
	if c.buf == nil {
		c.buf = make([]parquet.Value, BatchRows)
	}
	for i := 0; i < n; {
		if err := c.more(); err != nil {
			return err
		}
		if c.values == nil {
			c.values = c.page.Values()
		}
		got, err := c.values.ReadValues(c.buf[:min(len(c.buf), n-i)])
		if got == 0 {
			if err == nil || errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF // the page said that it had more
			}
			return err
		}
		c.left, c.row = c.left-int64(got), c.row+int64(got)
		for k := range got {
			if err := use(i+k, &c.buf[k]); err != nil {
				return fmt.Errorf("value %d: %w", c.row-int64(got-k), err)
			}
		}
		i += got
	}
	return nil
}

// skip passes over the next n values.
func (c *cursor) skip(n int64) error {
	for n > 0 {
		if err := c.more(); err != nil {
			return err
		}
		step := int(min(n, c.left))
		_, known := c.levels(step)
		c.pass(step, known)
		n -= int64(step)
	}
	return nil
}

// levels says which of the next n values of the page are not null, and how many:
// those whose level is top. nil levels are all.
func (c *cursor) levels(n int) (levels []byte, known int) {
	all := c.page.DefinitionLevels()
	if all == nil {
		return nil, n
	}
	behind := len(all) - int(c.left)
	levels = all[behind : behind+n]
	if known = bytes.Count(levels, []byte{c.top}); known == n {
		levels = nil
	}
	return levels, known
}

// pass leaves n values of the page behind, of which so many were not null.
func (c *cursor) pass(n, known int) {
	c.left, c.row, c.known = c.left-int64(n), c.row+int64(n), c.known+known
}

// end fails when there are more values.
func (c *cursor) end() error {
	if err := c.fetch(); !errors.Is(err, io.EOF) {
		return cmp.Or(err, fmt.Errorf("it has more than %d values", c.row))
	}
	return nil
}

// more is fetch where there have to be values.
func (c *cursor) more() error {
	err := c.fetch()
	if errors.Is(err, io.EOF) {
		return fmt.Errorf("it ends after %d values: %w", c.row, io.ErrUnexpectedEOF)
	}
	return err
}

// fetch makes sure that the page at hand has values left. It fails with
// io.EOF when the column has none.
func (c *cursor) fetch() error {
	for c.left == 0 {
		page, err := c.pages.ReadPage()
		if err != nil {
			return err
		}
		c.setPage(page)
	}
	return nil
}

func (c *cursor) setPage(page parquet.Page) {
	parquet.Release(c.page)
	c.page, c.values, c.left, c.known = page, nil, page.NumRows(), 0
}

func (c *cursor) close() {
	if c.pages == nil {
		return
	}
	parquet.Release(c.page)
	c.pages.Close()
	c.page, c.pages = nil, nil
}
