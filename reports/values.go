package reports

import (
	"fmt"
	"strings"
)

var sprintf = fmt.Sprintf

func splitFlags(flags *string) []string {
	if flags == nil || *flags == "" {
		return nil
	}
	return strings.Split(*flags, ",")
}
