package rowjson

// A Row is one accepted row: its text and its fields.
type Row struct {
	Text   []byte
	Fields []Field
}

func (r Row) Key(f Field) []byte { return r.Text[f.keyStart:f.keyEnd] }

func (r Row) Value(f Field) Value { return Value{r.Text[f.valStart:f.valEnd], f.Kind} }

// Get returns a top-level field.
func (r Row) Get(name string) Value {
	for _, f := range r.Fields {
		if !f.escaped {
			if int(f.keyEnd-f.keyStart) == len(name) && string(r.Key(f)) == name {
				return r.Value(f)
			}
		} else if string(Unescape(r.Key(f))) == name {
			return r.Value(f)
		}
	}
	return Value{}
}
