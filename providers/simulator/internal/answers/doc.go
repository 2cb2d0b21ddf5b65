// Package answers makes what a simulated model says: answers known beforehand
// or prose about the question, thinking, verdicts of judges, values for JSON
// schemas, and the counting of tokens. It knows no wire format, and everything
// it says follows from the question and a seed.
package answers
