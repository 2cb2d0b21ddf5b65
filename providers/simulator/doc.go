// Package simulator is a model server for load tests and tests. It speaks
// all wire formats, streamed and not, and the data envelope of some gateways,
// answers from a file instead of a model, keeps rate limits as the vendors do, misbehaves on request, and writes a
// [Ledger] of what it received, served and billed.
//
// A [Server] is an http.Handler. [Server.Serve] puts it on a port,
// [Server.Transport] reaches it without a socket, which is what
// testing/synctest needs to fake the clock.
//
// Everything is deterministic: an answer depends on the seed, the model's name
// and the conversation; a fault on these and on how often that conversation
// has failed before. Neither depends on the order of arrival, so a run gives
// the same answers with 1 worker or 500, and after a resume. The one exception
// is prompt caching: which of two requests with a common prefix writes it and
// which reads it hangs on which comes first.
//
// # Answers
//
// A file of prompts and targets (a dataset, say) makes the models answer; see
// [Config.LoadAnswers]. A model has a skill, the share of questions it gets right;
// names say it (sim-large 0.93, sim-medium 0.8, sim-small 0.65) or
// [Config].Models does. The wrong answers are targets of other prompts. The
// file may also hold the text of each model. A prompt that is not in the file
// gets a paragraph about its words.
//
// # Bill
//
// An exchange is billed when the server has generated an answer, whether or
// not the client could read it: cut, stalled, reset and aborted exchanges are
// billed for what was generated (a stream that its client gives up ends there,
// anything else is generated to its end), refused ones are not. The ledger keeps both
// sums apart: Billed is the invoice, Delivered the part of it that was written
// whole.
//
// The package shares no code with the rest of this module, on purpose: two
// implementations of the wire formats that agree are a check.
package simulator
