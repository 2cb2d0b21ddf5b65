package limits

// A meter counts what passed in the last minute.
type meter struct {
	slots [meterSlots]float64
	slot  int64
}

func (m *meter) add(now, n float64) {
	m.turn(now)
	m.slots[m.slot%meterSlots] += n
}

// perMinute returns the count over the last minute.
func (m *meter) perMinute(now float64) float64 {
	m.turn(now)
	sum := 0.0
	for _, n := range m.slots {
		sum += n
	}
	return sum
}

// turn clears the slots that have passed since the last call.
func (m *meter) turn(now float64) {
	slot := int64(now / slotLength)
	for n := 0; m.slot < slot && n < meterSlots; n++ {
		m.slot++
		m.slots[m.slot%meterSlots] = 0
	}
	m.slot = slot
}
