package s3

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
)

// What callers ask of an [Error] with errors.Is.
var (
	ErrNotFound  = errors.New("there is no such object")
	ErrCondition = errors.New("the condition does not hold")
)

// An Error is a request that failed. It never holds a key.
type Error struct {
	Op       string // the method
	Address  string // of the object
	Endpoint string // host that was asked
	Status   int    // 0 when there was no answer
	Code     string // the store's word
	Message  string // the store's sentence
	Region   string // that the bucket is in, where the store says so
	Err      error  // why there was no answer
}

func (e *Error) Error() string {
	s := fmt.Sprintf("%s %s", e.Op, e.Address)
	if e.Status == 0 {
		return fmt.Sprintf("%s: %s does not answer: %v", s, e.Endpoint, e.Err)
	}
	s += fmt.Sprintf(": %s answers %d", e.Endpoint, e.Status)
	if e.Code != "" {
		s += " " + e.Code
	}
	if e.Message != "" {
		s += " (" + e.Message + ")"
	}
	if hint := e.Hint(); hint != "" {
		s += "; " + hint
	}
	return s
}

func (e *Error) Unwrap() error { return e.Err }

// Is makes errors.Is tell apart what callers act on.
func (e *Error) Is(target error) bool {
	switch target {
	case ErrNotFound:
		return e.Status == http.StatusNotFound && e.Code != "NoSuchBucket"
	case ErrCondition:
		return e.Status == http.StatusPreconditionFailed
	}
	return false
}

// Hint says what to try.
func (e *Error) Hint() string {
	switch {
	case e.Region != "":
		return "the bucket is in region " + e.Region + ": set AWS_REGION=" + e.Region
	case e.Code == "NoSuchBucket":
		return "create the bucket, or see that AWS_ENDPOINT_URL_S3 names the right store"
	case e.Code == "InvalidAccessKeyId", e.Code == "SignatureDoesNotMatch":
		return "see that AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are those of this store"
	case e.Code == "ExpiredToken", e.Code == "TokenRefreshRequired":
		return "get new credentials"
	case e.Code == "RequestTimeTooSkewed":
		return "set this machine's clock"
	case e.Status == http.StatusForbidden:
		return "the credentials need s3:ListBucket, s3:GetObject, s3:PutObject and s3:DeleteObject there"
	case e.Status == http.StatusMovedPermanently, e.Status == http.StatusTemporaryRedirect:
		return "set AWS_REGION to the bucket's region"
	}
	return ""
}

// Passing reports whether the same request may succeed later.
func Passing(err error) bool {
	var e *Error
	if !errors.As(err, &e) {
		return errors.Is(err, io.ErrUnexpectedEOF)
	}
	switch e.Status {
	case 0, http.StatusRequestTimeout, http.StatusConflict, http.StatusTooManyRequests:
		return true
	}
	return e.Status >= 500 && e.Status != http.StatusNotImplemented
}

// refusal reads what a store says of a request that it does not carry out.
func (b *Bucket) refusal(q request, resp *http.Response) error {
	e := &Error{Op: q.method, Address: b.Address(q.key), Endpoint: resp.Request.URL.Host, Status: resp.StatusCode}
	var said struct{ Code, Message, Region string }
	text, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	if err == nil && xml.Unmarshal(text, &said) == nil {
		e.Code, e.Message, e.Region = short(said.Code), short(said.Message), short(said.Region)
	}
	if region := resp.Header.Get("X-Amz-Bucket-Region"); region != "" && region != b.region() {
		e.Region = short(region)
	}
	return e
}

// short bounds what a store can make us print.
func short(s string) string {
	clean := []rune{}
	for _, r := range s {
		if r >= ' ' && r != 0x7f && len(clean) < 300 {
			clean = append(clean, r)
		}
	}
	return string(clean)
}
