package wire

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"nightshift/providers/secrets"
)

// expiryMargin is how long before its end a token is read again.
const expiryMargin = 30 * time.Second

// rereadPause is between two tries to read a key.
const rereadPause = 200 * time.Millisecond

// A keyring is the key of a Wire, which may be read again when a server refuses
// it: tokens of clouds live for an hour.
type keyring struct {
	again func() (secrets.Secret, error) // nil: the key does not change
	as    func(secrets.Secret) http.Header
	mu    sync.Mutex // held while the key is read again
	now   atomic.Pointer[keyed]
}

// A keyed is a key with all that depends on it. It does not change.
type keyed struct {
	key      secrets.Secret
	header   http.Header // of every request, to be cloned
	redactor *secrets.Redactor
	expires  time.Time // zero where that is not known
	earlier  []secrets.Secret
	// lines and streamLines are the headers as plainhttp sends them.
	lines, streamLines []byte
}

// set makes a key the current one. Texts are cleared of the earlier ones, too:
// servers may still repeat them.
func (r *keyring) set(key secrets.Secret, earlier []secrets.Secret) *keyed {
	k := &keyed{key: key, header: r.as(key), expires: expiry(key), earlier: earlier}
	k.redactor = secrets.NewRedactor(append([]secrets.Secret{key}, earlier...)...)
	k.lines, k.streamLines = headerLinesFor(k.header, acceptJSON), headerLinesFor(k.header, acceptStream)
	r.now.Store(k)
	return k
}

// current is the key to send with, read again when the one at hand is known to
// end.
func (r *keyring) current() *keyed {
	k := r.now.Load()
	if r.again == nil || k.expires.IsZero() || time.Until(k.expires) > expiryMargin {
		return k
	}
	if next, ok := r.renew(k); ok {
		return next
	}
	return k
}

// renew reads the key again after a server refused k; ok is false when there is
// no other one.
func (r *keyring) renew(k *keyed) (next *keyed, ok bool) {
	if r.again == nil {
		return nil, false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if now := r.now.Load(); now != k {
		return now, true // another request was faster
	}
	key, err := r.again()
	for try := 0; err != nil && try < 2; try++ { // the file may just be written
		time.Sleep(rereadPause)
		key, err = r.again()
	}
	if err != nil || key.IsZero() || key == k.key {
		return nil, false
	}
	earlier := append(k.earlier[:len(k.earlier):len(k.earlier)], k.key)
	return r.set(key, earlier[max(0, len(earlier)-8):]), true
}

// expiry is when a JSON Web Token ends (RFC 7519, exp); zero for other keys.
func expiry(key secrets.Secret) time.Time {
	parts := strings.Split(key.Reveal(), ".")
	if len(parts) != 3 {
		return time.Time{}
	}
	payload, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(parts[1], "="))
	var claims struct {
		Exp float64 `json:"exp"`
	}
	if err != nil || json.Unmarshal(payload, &claims) != nil || claims.Exp <= 0 || claims.Exp > 1e11 {
		return time.Time{}
	}
	return time.Unix(int64(claims.Exp), 0)
}
