package limits

import (
	"fmt"
	"os"
)

// Believes is for debugging.
func Believes(l *Limiter) string {
	s := fmt.Sprintf("share %.2f learned %.2f w %.1f ceil %.1f;", l.share.now, l.learn.rate, l.window.size, l.window.ceiling)
	for i := range l.dims {
		d := &l.dims[i]
		if d.rate > 0 {
			m := d.mirrors[d.best]
			for i, m := range d.mirrors {
				if m.doubt() < 1.5 || i == d.best {
					s += fmt.Sprintf("{%d %v %v b%.1f o%.2f/%.2f}", m.rule, m.burst, m.fixed, m.blame, m.offNow, m.offSent)
				}
			}
			s += fmt.Sprintf(" %v: rule %d burst %v blame %.1f off %.2f/%.2f level %.1fs pacer %.1fs", boundOf[i], m.rule, m.burst, m.blame, m.offNow, m.offSent, m.level/d.rate, d.level/d.rate)
		}
	}
	return s
}

var debugWindow = os.Getenv("DEBUGW") != ""
