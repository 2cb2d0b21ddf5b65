package s3

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"sort"
	"strings"
	"time"
)

// emptySum is the SHA-256 of nothing.
const emptySum = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

// sign signs a request with AWS Signature Version 4, as the Amazon S3 API
// Reference has it in "Authenticating Requests: Using the Authorization
// Header". sum is the SHA-256 of the body in hex.
func sign(r *http.Request, keys Keys, region, sum string, now time.Time) {
	if sum == "" {
		sum = emptySum
	}
	stamp := now.UTC().Format("20060102T150405Z")
	r.Header.Set("X-Amz-Date", stamp)
	r.Header.Set("X-Amz-Content-Sha256", sum)
	if keys.Token != "" {
		r.Header.Set("X-Amz-Security-Token", keys.Token)
	}
	signed := signedHeaders(r)
	names := make([]string, 0, len(signed))
	for name := range signed {
		names = append(names, name)
	}
	sort.Strings(names)
	var head strings.Builder
	for _, name := range names {
		head.WriteString(name + ":" + signed[name] + "\n")
	}
	list := strings.Join(names, ";")
	path := r.URL.EscapedPath()
	if path == "" {
		path = "/"
	}
	canonical := strings.Join([]string{r.Method, path, r.URL.RawQuery, head.String(), list, sum}, "\n")
	hashed := sha256.Sum256([]byte(canonical))
	scope := stamp[:8] + "/" + region + "/s3/aws4_request"
	text := "AWS4-HMAC-SHA256\n" + stamp + "\n" + scope + "\n" + hex.EncodeToString(hashed[:])
	key := []byte("AWS4" + keys.Secret)
	for _, part := range []string{stamp[:8], region, "s3", "aws4_request", text} {
		key = mac(key, part)
	}
	r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential="+keys.ID+"/"+scope+", SignedHeaders="+list+
		", Signature="+hex.EncodeToString(key))
}

// signedHeaders are the host, and what belongs to the store or says when to act.
func signedHeaders(r *http.Request) map[string]string {
	signed := map[string]string{"host": r.URL.Host}
	for name, values := range r.Header {
		name = strings.ToLower(name)
		if strings.HasPrefix(name, "x-amz-") || name == "if-match" || name == "if-none-match" {
			signed[name] = strings.TrimSpace(strings.Join(values, ","))
		}
	}
	return signed
}

func mac(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}
