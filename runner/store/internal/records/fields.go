package records

import (
	"reflect"
	"unsafe"

	"nightshift"
)

// A Field is one field of a Record. What is done with every field of every
// record goes through their addresses: by reflection it takes three times as long.
type Field struct {
	reflect.StructField
	// Kind is that of the field's values: of what it points to, where it is a pointer.
	Kind    reflect.Kind
	pointer bool
}

// Fields are the fields of a Record, in their order.
var Fields = func() (list []Field) {
	t := reflect.TypeFor[nightshift.Record]()
	for i := range t.NumField() {
		f := Field{StructField: t.Field(i), Kind: t.Field(i).Type.Kind()}
		if f.pointer = f.Kind == reflect.Pointer; f.pointer {
			f.Kind = f.Type.Elem().Kind()
		}
		list = append(list, f)
	}
	return list
}()

// Nullable reports whether a record can be without a value in the field.
func (f *Field) Nullable() bool { return f.pointer || f.Kind == reflect.Slice }

// Pointer reports whether the field is a pointer to its value.
func (f *Field) Pointer() bool { return f.pointer }

// Of returns where the field's value lies; nil where it is a pointer and null.
func (f *Field) Of(rec *nightshift.Record) unsafe.Pointer {
	at := unsafe.Add(unsafe.Pointer(rec), f.Offset)
	if f.pointer {
		return *(*unsafe.Pointer)(at)
	}
	return at
}
