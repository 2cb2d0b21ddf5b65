// Package datasets turns files into samples.
//
// [Open] reads every byte once: it finds out the shape of the rows, checks
// each row, looks for duplicate ids and pins the identity of the data by
// hashes, in bounded memory and before anything is paid for. [Dataset.Read]
// then yields the samples of one chunk, after hashing the chunk again.
//
// # Files
//
// JSON lines, one JSON array, CSV or TSV with a header line, and Parquet, each
// plain or (except Parquet) compressed with gzip or zstd, detected from content and not
// from the file name. Several files and globs count as one dataset
// in the order given (globs in name order). Standard input ("-") and pipes are
// copied into Spec.Spool first.
//
// # Shapes
//
// Where no template and no field mapping says otherwise, the names of a row's
// fields decide:
//
//	custom_id + body            OpenAI batch: the body is sent as it is; its url says in which format
//	custom_id + params          Anthropic batch: the same
//	key + request               Gemini batch: the same
//	conversations               ShareGPT: from human, gpt or system
//	messages                    a chat; the last assistant message stays part of the prompt
//	turns                       MT-Bench: each turn waits for the answer before it
//	instruction, input, output  Alpaca
//	prompt                      a text or a list of messages
//	input, target | ideal       a text or a list of messages
//	question, answer            the target is what follows the last "####", where answers have it
//	vars, assert                promptfoo tests; they need a prompt template
//
// Anything else needs a prompt template or Fields["prompt"]; rows that look like
// a shape keep its target under a template too. In all shapes the
// id is the first of id, custom_id, task_id, question_id and key that a row
// has, else the row's index; a text field system is the system prompt. What is
// not used so stays in Sample.Metadata as it was written.
//
// A row may bring request parameters of its own in an object named params. An
// object that names none of the known parameters is plain metadata. Rows never
// choose an endpoint, a header or a key.
//
// # Templates
//
// Templates are Jinja. They see the row's fields by name, and id, index and
// epoch where the row has no fields of these names; row is always the whole
// row. A missing field is an error, null prints nothing, and field values are
// never expanded again. Numbers print as they were written; one that is
// written unusually (1.10, 1e5, more than 64 bits) is text to arithmetic
// unless it passes through |float. include, import, extends and random are not
// there: a prompt depends on the row alone. tojson escapes nothing but what
// JSON requires.
//
// A filter is a Jinja expression over the row's fields, without index and
// epoch: category == "maths" and level > 3.
package datasets
