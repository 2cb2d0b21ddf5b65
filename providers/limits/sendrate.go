package limits

// A sendRate counts the requests sent in the last few seconds, to tell their rate.
type sendRate struct {
	slots [rateSlots]int
	slot  int64
}

func (p *sendRate) note(now float64) {
	p.turn(now)
	p.slots[p.slot%rateSlots]++
}

// rate returns the requests a second over the shortest time up to now that
// tells: that many seconds at least, sixteen at most.
func (p *sendRate) rate(now, least float64) float64 {
	p.turn(now)
	count, from := 0, now
	for s := p.slot; s >= 0 && s > p.slot-rateSlots; s-- {
		count += p.slots[s%rateSlots]
		from = float64(s) * rateLength
		if count >= rateEnough && now-from >= least {
			break
		}
	}
	return float64(count) / max(now-from, rateLength)
}

// since returns how many were sent since then, within one slot.
func (p *sendRate) since(then, now float64) float64 {
	p.turn(now)
	count := 0
	for s := max(int64(then/rateLength)-1, p.slot-rateSlots+1, 0); s <= p.slot; s++ {
		count += p.slots[s%rateSlots]
	}
	return float64(count)
}

// turn clears the slots that have passed since the last call.
func (p *sendRate) turn(now float64) {
	slot := int64(now / rateLength)
	for n := 0; p.slot < slot && n < rateSlots; n++ {
		p.slot++
		p.slots[p.slot%rateSlots] = 0
	}
	p.slot = max(p.slot, slot)
}
