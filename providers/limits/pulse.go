package limits

// A pulse counts the requests sent in the last few seconds, to tell their rate.
type pulse struct {
	slots [pulseSlots]int
	slot  int64
}

func (p *pulse) note(now float64) {
	p.turn(now)
	p.slots[p.slot%pulseSlots]++
}

// rate returns the requests a second over the shortest time up to now that
// tells: that many seconds at least, sixteen at most.
func (p *pulse) rate(now, least float64) float64 {
	p.turn(now)
	count, from := 0, now
	for s := p.slot; s >= 0 && s > p.slot-pulseSlots; s-- {
		count += p.slots[s%pulseSlots]
		from = float64(s) * pulseLength
		if count >= pulseEnough && now-from >= least {
			break
		}
	}
	return float64(count) / max(now-from, pulseLength)
}

// since returns how many were sent since then, within one slot.
func (p *pulse) since(then, now float64) float64 {
	p.turn(now)
	count := 0
	for s := max(int64(then/pulseLength)-1, p.slot-pulseSlots+1, 0); s <= p.slot; s++ {
		count += p.slots[s%pulseSlots]
	}
	return float64(count)
}

// turn clears the slots that have passed since the last call.
func (p *pulse) turn(now float64) {
	slot := int64(now / pulseLength)
	for n := 0; p.slot < slot && n < pulseSlots; n++ {
		p.slot++
		p.slots[p.slot%pulseSlots] = 0
	}
	p.slot = max(p.slot, slot)
}
