package providers

import (
	"context"
	"errors"
	"time"

	"nightshift"
)

// reconsider is how long a request waits for one of several routes before it
// looks whether another has become the better one.
const reconsider = 5 * time.Second

var errReconsider = errors.New("another route may be ready")

// choose picks a route by its weight and by how ready it is. The error is a
// *nightshift.StopError when all of them are stopped, and errAway when there is
// none at present.
func (c *Client) choose(model string) (int, error) {
	routes := c.list()
	if len(routes) == 1 && !c.RoutesCome {
		if stop := c.stop(0, model); stop != nil {
			return 0, stop
		}
		return 0, nil
	}
	weights := make([]float64, len(routes))
	sum, away := 0.0, len(routes) == 0
	var stop, soonest *nightshift.StopError
	for i, r := range routes {
		if stop = c.stop(i, model); stop != nil {
			soonest = earlier(soonest, stop)
			continue
		}
		if r.away() {
			away = true
			continue
		}
		// A route whose breaker is open gets next to nothing, but not nothing:
		// when all are down, somebody has to probe.
		weights[i] = weight(r) * max(r.Limiter.Spare(), 1e-9)
		sum += weights[i]
	}
	if sum == 0 && away {
		return 0, errAway
	}
	if sum == 0 {
		return 0, soonest
	}
	pick := routes[0].Limiter.Random() * sum
	last := 0
	for i, w := range weights {
		if w == 0 {
			continue
		}
		last = i
		if pick -= w; pick < 0 {
			break
		}
	}
	return last, nil
}

func weight(r ClientRoute) float64 {
	if r.Weight <= 0 {
		return 1
	}
	return r.Weight
}

// earlier returns the stop that ends first.
func earlier(a, b *nightshift.StopError) *nightshift.StopError {
	switch {
	case a == nil:
		return b
	case b.Until.IsZero() || (!a.Until.IsZero() && !b.Until.Before(a.Until)):
		return a
	}
	return b
}

// stop returns why a route must not be asked for a model, nil when it may.
func (c *Client) stop(route int, model string) *nightshift.StopError {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, key := range []stopKey{{route, model}, {route, ""}} {
		s := c.stopped[key]
		if s == nil {
			continue
		}
		if s.Until.IsZero() || time.Now().Before(s.Until) {
			return s
		}
		delete(c.stopped, key)
	}
	return nil
}

// stops notes that a route must not be asked any more, for one model or, with
// model "", for all.
func (c *Client) stops(route int, stop *nightshift.StopError) {
	c.mu.Lock()
	key := stopKey{route, stop.Model}
	known := c.stopped[key] != nil
	c.stopped[key] = stop
	c.mu.Unlock()
	if !known {
		c.event(Event{Kind: EventStopped, Route: c.at(route).Name, Model: stop.Model, Err: stop.Err})
	}
}

// left decides what follows when a route could not be waited for: nil to look
// for another, else the error to end with.
func (k *call) left(ctx context.Context, route int, err error) error {
	var stop *nightshift.StopError
	switch {
	case errors.As(err, &stop):
		named := *stop
		if named.Endpoint == "" {
			named.Endpoint = k.Endpoint
		}
		k.stops(route, &named)
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, context.DeadlineExceeded):
		return nil // time to reconsider
	}
	return err
}

func (c *Client) event(e Event) {
	if c.OnEvent == nil {
		return
	}
	e.Time = time.Now()
	e.Endpoint, e.Flow = c.Endpoint, c.Flow
	c.OnEvent(e)
}
