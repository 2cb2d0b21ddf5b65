package journal

import (
	"nightshift"
	"nightshift/internal/rawjson"
)

// decodeRecord returns the record of a result line's object; nil when it has
// none.
func decodeRecord(object []byte) (*nightshift.Record, error) {
	var l struct {
		Record *nightshift.Record `json:"record"`
		Packed string             `json:"raw_s2"`
	}
	if err := rawjson.Unmarshal(object, &l); err != nil || l.Record == nil || l.Packed == "" {
		return l.Record, err
	}
	raw, err := unpack([]byte(l.Packed))
	if err != nil {
		return nil, err
	}
	l.Record.RawResponse = &raw
	return l.Record, nil
}
