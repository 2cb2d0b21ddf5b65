package s3

import (
	"net/http"
	"time"
)

// SignedExample signs a request of the reference's examples.
func SignedExample(query string) string {
	r, err := http.NewRequest(http.MethodGet, "https://examplebucket.s3.amazonaws.com/"+query, nil)
	if err != nil {
		return err.Error()
	}
	sign(r, Keys{ID: "AKIAIOSFODNN7EXAMPLE", Secret: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"}, "us-east-1", "",
		time.Date(2013, 5, 24, 0, 0, 0, 0, time.UTC))
	return r.Header.Get("Authorization")
}
