package parquetfile

import (
	"errors"
	"testing"
)

func TestItemOrder(t *testing.T) {
	type item struct {
		row   int64
		epoch int32
	}
	for _, tc := range []struct {
		skipped int64
		items   []item
		ok      bool
	}{
		{0, []item{{4, 0}, {4, 1}, {5, 0}, {5, 1}, {6, 0}, {6, 1}}, true},
		{0, []item{{4, 0}, {4, 1}, {5, 0}, {5, 1}, {6, 0}}, false},
		{0, []item{{4, 0}, {4, 1}, {6, 0}, {6, 1}}, false},
		{1, []item{{4, 0}, {4, 1}, {6, 0}, {6, 1}}, true},
		{1, []item{{4, 0}, {4, 1}, {5, 0}, {5, 1}}, true},
		{1, []item{{5, 0}, {5, 1}, {6, 0}, {6, 1}}, true},
		{1, []item{{4, 0}, {4, 1}, {5, 0}, {5, 1}, {6, 0}, {6, 1}}, false},
		{1, []item{{4, 0}, {5, 0}, {5, 1}}, false},
		{2, []item{{6, 0}, {6, 1}}, true},
		{1, []item{{6, 0}, {6, 1}}, false},
		{1, []item{{4, 0}, {4, 1}, {4, 0}, {4, 1}}, false},
		{1, []item{{4, 0}, {4, 1}, {7, 0}, {7, 1}}, false},
	} {
		o := itemOrder{meta: Meta{First: 4, Rows: 3, Skipped: tc.skipped, Epochs: 2}}
		var err error
		for _, it := range tc.items {
			if err = errors.Join(err, o.next(it.row, it.epoch)); err != nil {
				break
			}
		}
		if err = errors.Join(err, o.end()); (err == nil) != tc.ok {
			t.Errorf("%d skipped, %v: %v, want ok %v", tc.skipped, tc.items, err, tc.ok)
		}
	}
}
