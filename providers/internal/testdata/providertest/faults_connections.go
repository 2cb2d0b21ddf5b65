package providertest

import (
	"errors"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"nightshift"
	"nightshift/providers"
)

// connections are rows 36 to 40: what goes wrong below HTTP.
func connections() []Fault {
	lost := func(class nightshift.ErrorClass) Want { return Want{Outcome: Unknown, Class: class} }
	kept := func(class nightshift.ErrorClass) Want {
		w := lost(class)
		w.Text = headText
		return w
	}
	unpaid := Want{Outcome: Break, Class: nightshift.ClassConnection, Requests: -1}
	short := 150 * time.Millisecond
	return []Fault{
		{Number: 36, Name: "refused connection", Listen: closedPort, Want: unpaid},
		{Number: 36, Name: "no such host", Listen: closedPort, Dial: func(_, addr string) (net.Conn, error) {
			return nil, &net.OpError{Op: "dial", Net: "tcp",
				Err: &net.DNSError{Err: "no such host", Name: addr, IsNotFound: true}}
		}, Want: unpaid},
		{Number: 36, Name: "no connection in time", Listen: closedPort, Dial: func(string, string) (net.Conn, error) {
			time.Sleep(2 * short)
			return nil, errors.New("too late")
		}, Timeouts: providers.Timeouts{Connect: short},
			Want: Want{Outcome: Break, Class: nightshift.ClassTimeoutConnect, Requests: -1}},
		{Number: 37, Name: "reset after the request", Respond: func(x *Exchange) {
			x.Reset()
		}, Want: lost(nightshift.ClassConnection)},
		{Number: 37, Name: "closed after the request", Respond: func(*Exchange) {}, Want: lost(nightshift.ClassConnection)},
		{Number: 38, Name: "reset in the body", Respond: func(x *Exchange) {
			body := x.cut()
			x.Head(200, "Content-Type", x.contentType(), "Content-Length", "100000")
			for _, part := range body {
				x.Write(part)
			}
			time.Sleep(50 * time.Millisecond) // let it arrive: a reset drops what is on its way
			x.Reset()
		}, Want: lost(nightshift.ClassCut)},
		{Number: 38, Name: "HTTP/2 stream reset in the body", Listen: h2(resetInBody), Trust: true,
			Want: kept(nightshift.ClassCut)},
		{Number: 38, Name: "HTTP/2 stream reset before the answer", Listen: h2(resetBefore), Trust: true,
			Want: lost(nightshift.ClassConnection)},
		{Number: 38, Name: "HTTP/2 refused stream", Listen: h2(refuseStream), Trust: true,
			Want: Want{Outcome: Break, Class: nightshift.ClassConnection}},
		{Number: 38, Name: "HTTP/2 GOAWAY below this stream", Listen: h2(goAwayBelow), Trust: true,
			Want: Want{Outcome: Break, Class: nightshift.ClassConnection}},
		{Number: 38, Name: "HTTP/2 GOAWAY and the connection closed", Listen: h2(goAwayClose), Trust: true,
			Want: lost(nightshift.ClassConnection)},
		{Number: 39, Name: "expired certificate", Listen: withCertificate(expired), Trust: true, Want: untrusted("expired")},
		{Number: 39, Name: "self-signed certificate", Listen: withCertificate(valid), Want: untrusted("issuer")},
		{Number: 39, Name: "certificate of another host", Listen: withCertificate(otherHost), Trust: true,
			Want: untrusted("another host")},
		{Number: 39, Name: "no TLS at all", Listen: plainAsTLS, Want: untrusted("does not speak TLS")},
		{Number: 40, Name: "headers never come", Respond: func(x *Exchange) {
			x.Hang()
		}, Timeouts: providers.Timeouts{FirstByte: short}, Want: lost(nightshift.ClassTimeoutFirstByte)},
		{Number: 40, Name: "headers drip", Respond: func(x *Exchange) {
			x.Drip("HTTP/1.1 200 OK\r\nX-A: "+strings.Repeat("a", 60_000), 5*time.Millisecond)
		}, Timeouts: providers.Timeouts{FirstByte: short}, Want: lost(nightshift.ClassTimeoutFirstByte)},
		{Number: 40, Name: "the body never comes", Respond: func(x *Exchange) {
			x.Begin(0)
			x.Hang()
		}, Timeouts: providers.Timeouts{FirstByte: short}, Want: lost(nightshift.ClassTimeoutFirstByte)},
		{Number: 40, Name: "the body stops", Respond: func(x *Exchange) {
			x.Begin(x.content())
			if !x.Stream {
				x.Write(x.cut()[0])
			}
			x.Hang()
		}, Timeouts: providers.Timeouts{Idle: short}, Want: kept(nightshift.ClassTimeoutIdle)},
		{Number: 40, Name: "the body drips", Respond: func(x *Exchange) {
			x.Begin(x.content())
			if x.Stream {
				for range 10_000 {
					if _, err := x.conn.Write([]byte(x.stream([]string{`"."`}, notCounted)[x.content()-1])); err != nil {
						return
					}
					time.Sleep(5 * time.Millisecond)
				}
			}
			x.Drip(`{"id":"`+strings.Repeat("a", 60_000), 5*time.Millisecond)
		}, Timeouts: providers.Timeouts{Total: 2 * short}, Want: lost(nightshift.ClassTimeoutTotal)},
	}
}

func untrusted(hint string) Want {
	return Want{Outcome: Stop, Class: nightshift.ClassTLS, Requests: -1,
		Also: func(tb testing.TB, _ Case, x providers.Exchange) {
			if !strings.Contains(x.Err.Hint, hint) {
				tb.Errorf("hint %q of %v, want it to hold %q", x.Err.Hint, x.Err, hint)
			}
		}}
}

// closedPort is an address where nothing listens.
func closedPort(tb testing.TB, _ Case) *Server {
	s := serve(tb, listen(tb), "http", func(*Server, net.Conn) {})
	s.Close()
	return s
}

// plainAsTLS speaks plain HTTP where TLS is expected.
func plainAsTLS(tb testing.TB, c Case) *Server {
	return serve(tb, listen(tb), "https", func(_ *Server, conn net.Conn) {
		_, _ = conn.Read(make([]byte, 1))
		_, _ = conn.Write([]byte("HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"))
		time.Sleep(20 * time.Millisecond)
	})
}

// rest are rows 47 to 50.
func rest() []Fault {
	short := 150 * time.Millisecond
	shows := func(x *Exchange) string {
		return strings.Join(echo(x.Request), " ") + " Bearer " + echo(x.Request)[0]
	}
	return []Fault{
		{Number: 47, Name: "an answer after the deadline", Respond: func(x *Exchange) {
			time.Sleep(3 * short)
			x.Good()
		}, Timeouts: providers.Timeouts{Total: short}, Want: Want{Outcome: Unknown, Class: nightshift.ClassTimeoutTotal}},
		{Number: 48, Name: "the key in an error", Respond: func(x *Exchange) {
			x.Answer(500, `{"error":{"message":"you sent `+shows(x)+`","code":"`+echo(x.Request)[0]+`"}}`,
				"X-Request-Id", echo(x.Request)[0])
		}, Want: Want{Outcome: Break, Class: nightshift.ClassServer}},
		{Number: 48, Name: "the key in a page", Respond: func(x *Exchange) {
			x.Answer(502, "<title>"+shows(x)+"</title>", "X-Request-Id", echo(x.Request)[2])
		}, Want: Want{Outcome: Break, Class: nightshift.ClassServer}},
		{Number: 48, Name: "the key in an answer", Respond: func(x *Exchange) {
			key := echo(x.Request)[0]
			body := x.answer(counted, quote(shows(x)), quote(key[:10]), quote(key[10:]))
			x.GoodBody(strings.ReplaceAll(body, Model, key))
		}, Want: Want{Outcome: OK, Flags: []string{"key_redacted"}}},
		{Number: 48, Name: "the key in a status line", Respond: func(x *Exchange) {
			x.Write("HTTP/1.1 2x0 " + echo(x.Request)[0] + "\r\n\r\n")
		}, Want: Want{Outcome: Retry, Class: nightshift.ClassBadResponse}},
		{Number: 49, Name: "cookies, Alt-Svc, HSTS", Respond: func(x *Exchange) {
			if x.Request.Header.Get("Cookie") != "" {
				x.Answer(http.StatusTeapot, "a cookie came back")
				return
			}
			x.Good("Set-Cookie", "session=1; Path=/", "Alt-Svc", `h3=":443"; ma=86400`, "Strict-Transport-Security",
				"max-age=31536000")
		}, Want: Want{Outcome: OK, Text: fullText}},
		{Number: 50, Name: "hangs while we shut down", Respond: func(x *Exchange) {
			x.Hang()
		}, Cancel: short, Want: Want{Outcome: Cancelled, Class: nightshift.ClassCancelled, MaybeBilled: true}},
		{Number: 50, Name: "hangs after a whole stream", Respond: func(x *Exchange) {
			x.Begin(len(x.events()))
			x.Hang()
		}, Applies: streamed, Timeouts: providers.Timeouts{Idle: time.Second}, Want: Want{Outcome: OK, Text: fullText}},
	}
}
