package rundir

import (
	"nightshift/runner/store/internal/records"
	"time"
)

// A Progress is where a run that is open stands, as its own process counts it:
// whoever has it need not look into the journals. What the process spends on a
// row is counted with the row's record.
type Progress struct {
	At         time.Time      `json:"at"`
	RunID      string         `json:"run_id"`
	PID        int            `json:"pid"`
	Totals     records.Totals `json:"totals"`    // durable records
	Unsettled  records.Totals `json:"unsettled"` // what earlier processes spent on rows without a record
	InFlight   int64          `json:"in_flight"`
	OpenShards int            `json:"open_units"`
	Unknown    []Unknown      `json:"unknown,omitempty"` // of earlier processes, not sent again yet
	LastWrite  time.Time      `json:"last_write,omitzero"`
	Pace       []ModelPace    `json:"pace,omitempty"` // set by whoever looks regularly
}

// A ModelPace is how fast one model goes.
type ModelPace struct {
	Model   string  `json:"model"`
	Items   int64   `json:"items"`
	Done    int64   `json:"done"`
	PerHour float64 `json:"items_per_hour"` // lately; 0 when nothing was recorded
	// TimeLeft is at that pace; nil when it is not known, 0 when all is done.
	TimeLeft *time.Duration `json:"time_left_ns"`
}
