package worker

import (
	"cmp"
	"context"
	"net"
	"net/url"
	"time"
)

// Listens reports, by a nil error, whether something takes connections at a URL.
func Listens(ctx context.Context, at string) error {
	u, err := url.Parse(at)
	if err != nil {
		return err
	}
	port := "80"
	if u.Scheme == "https" {
		port = "443"
	}
	d := net.Dialer{Timeout: 5 * time.Second}
	c, err := d.DialContext(ctx, "tcp", net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), port)))
	if err != nil {
		return err
	}
	return c.Close()
}
