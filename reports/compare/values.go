package compare

import (
	"fmt"
	"strings"
)

var (
	sprintf = fmt.Sprintf
	join    = strings.Join
)
