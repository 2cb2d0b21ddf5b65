package providertest

import (
	"fmt"
	"strings"
	"testing"

	"nightshift"
	"nightshift/providers"
)

// protocols are rows 33 to 35: what is no HTTP, or not to be followed.
func protocols() []Fault {
	odd := Want{Outcome: Retry, Class: nightshift.ClassBadResponse}
	faults := []Fault{
		{Number: 33, Name: "headers of 2 MB", Respond: func(x *Exchange) {
			x.Head(200, "Content-Type", x.contentType(), "X-Long", strings.Repeat("a", 2<<20), "Content-Length", "0")
		}, Want: odd},
		{Number: 33, Name: "a flood of 1xx", Respond: func(x *Exchange) {
			for range 5000 {
				if _, err := x.conn.Write(
					[]byte("HTTP/1.1 103 Early Hints\r\nLink: </" + strings.Repeat("a", 200) + ">\r\n\r\n")); err != nil {
					return
				}
			}
			x.Good()
		}, Want: odd},
		{Number: 34, Name: "101", Respond: func(x *Exchange) {
			x.Head(101, "Connection", "Upgrade", "Upgrade", "websocket")
			x.Hang()
		}, Want: odd},
		{Number: 34, Name: "status 999", Respond: func(x *Exchange) { x.Answer(999, "denied") }, Want: odd},
		{Number: 34, Name: "garbage for a status line", Respond: func(x *Exchange) {
			x.Write("SSH-2.0-OpenSSH_9.6\r\n\r\n")
		}, Want: odd},
		{Number: 34, Name: "a status that is no number", Respond: func(x *Exchange) {
			x.Write("HTTP/1.1 OK\r\n\r\n")
		}, Want: odd},
		{Number: 34, Name: "two lengths", Respond: func(x *Exchange) {
			body := x.good()
			x.Head(200, "Content-Type", x.contentType(), "Content-Length", fmt.Sprint(len(body)), "Content-Length",
				fmt.Sprint(len(body)-10))
			x.Write(body)
		}, Want: odd},
	}
	for _, status := range []int{301, 302, 303, 307, 308} {
		faults = append(faults, Fault{Number: 35, Name: fmt.Sprintf("redirect %d", status), Respond: func(x *Exchange) {
			x.Answer(status, "", "Location", "http://"+x.Request.Host+"/elsewhere?key="+echo(x.Request)[0])
		}, Want: Want{Outcome: Stop, Class: nightshift.ClassRedirect,
			Also: func(tb testing.TB, _ Case, x providers.Exchange) {
				if !strings.Contains(x.Err.Message, "/elsewhere") {
					tb.Errorf("message %q does not say where to", x.Err.Message)
				}
			}}})
	}
	return faults
}
