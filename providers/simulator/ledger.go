package simulator

import "nightshift/providers/simulator/internal/ledger"

type (
	// A Ledger is what a server did so far.
	Ledger = ledger.Ledger
	// Totals is what a server, or one model of it, did.
	Totals = ledger.Totals
	// Tokens are counted in disjoint classes; Reasoning lies inside Output.
	Tokens = ledger.Tokens
	// A Price is in nano-dollars a token: $3 per million tokens is 3,000.
	Price = ledger.Price
	// An Entry is one exchange, a line of the log.
	Entry = ledger.Entry
)
