package limits

// A peak remembers how many requests were in flight at most in the last few
// seconds. Requests that are sent together reach the server in any order, so
// only the largest number says what a refusal may have been about.
type peak struct {
	slots [peakSlots]int
	slot  int64
}

func (p *peak) note(now float64, n int) {
	p.turn(now)
	p.slots[p.slot%peakSlots] = max(p.slots[p.slot%peakSlots], n)
}

// since returns the most in flight since then.
func (p *peak) since(then, now float64) int {
	p.turn(now)
	most := 0
	for s := max(int64(then/peakLength), p.slot-peakSlots+1, 0); s <= p.slot; s++ {
		most = max(most, p.slots[s%peakSlots])
	}
	return most
}

func (p *peak) turn(now float64) {
	slot := int64(now / peakLength)
	for n := 0; p.slot < slot && n < peakSlots; n++ {
		p.slot++
		p.slots[p.slot%peakSlots] = 0
	}
	p.slot = max(p.slot, slot)
}
