package plan

import (
	"bytes"
	_ "embed"
)

// The schema is generated from the structs and their comments by
//
//	go test ./runner/plan -run TestSchemaIsCurrent -update
//
//go:embed schema.json
var schema []byte

// Schema is the JSON Schema (draft 2020-12) of a plan, for editors and for
// plans that programs write. Put it beside plans under the name that their
// first line has:
//
//	# yaml-language-server: $schema=nightshift.schema.json
func Schema() []byte { return bytes.Clone(schema) }
