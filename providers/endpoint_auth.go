package providers

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"nightshift/providers/secrets"
)

// Auth schemes: how the key travels.
const (
	AuthBearer = "bearer"         // Authorization: Bearer KEY
	AuthXAPI   = "x-api-key"      // x-api-key: KEY
	AuthGoog   = "x-goog-api-key" // x-goog-api-key: KEY
	AuthRaw    = "raw"            // Authorization: KEY
	authHeader = "header"         // a header of the given name
	AuthNone   = "none"           // no key at all
)

// Key reads the key from where Auth says: the file if one is named, else the
// environment variable. Scheme none gives the zero Secret. Errors tell a
// person what to set.
func (a Auth) Key() (secrets.Secret, error) {
	switch {
	case a.Scheme == AuthNone:
		return secrets.Secret{}, nil
	case a.Command != "":
		return secrets.FromCommand(strings.Split(a.Command, "\x00")...)
	case a.File != "":
		return secrets.FromFile(a.File)
	case a.Env != "":
		return secrets.FromEnv(a.Env)
	}
	return secrets.Secret{}, errors.New("auth names neither an environment variable (env) nor a file that holds the key")
}

// Changes reports whether the key may be another one when it is read again.
func (a Auth) Changes() bool { return a.Scheme != AuthNone && (a.File != "" || a.Command != "") }

// HeaderName is the header that carries the key; "" for none.
func (a Auth) HeaderName() string {
	switch a.Scheme {
	case AuthBearer, AuthRaw, "":
		return "Authorization"
	case AuthXAPI:
		return "X-Api-Key"
	case AuthGoog:
		return "X-Goog-Api-Key"
	case authHeader:
		return http.CanonicalHeaderKey(a.Header)
	}
	return ""
}

// Set puts the key into h, byte for byte, in the one header of the scheme. An
// empty scheme is bearer.
func (a Auth) Set(h http.Header, key secrets.Secret) {
	name := a.HeaderName()
	if name == "" || key.IsZero() {
		return
	}
	value := key.Reveal()
	if name == "Authorization" && a.Scheme != AuthRaw && a.Scheme != authHeader {
		value = "Bearer " + value
	}
	h[name] = []string{value}
}

func (a Auth) validate() error {
	switch a.Scheme {
	case "", AuthBearer, AuthXAPI, AuthGoog, AuthRaw, AuthNone:
		if a.Header != "" {
			return fmt.Errorf("auth.name is only for scheme header, not %q", a.Scheme)
		}
	case authHeader:
		if !isToken(a.Header) {
			return fmt.Errorf("auth.name %q is not a header name", a.Header)
		}
	default:
		return fmt.Errorf("auth.scheme %q: choose bearer, x-api-key, x-goog-api-key, raw, header or none", a.Scheme)
	}
	if a.Scheme == AuthNone {
		return nil
	}
	places := 0
	for _, place := range []string{a.Env, a.File, a.Command} {
		if place != "" {
			places++
		}
	}
	switch places {
	case 0:
		return errors.New("auth names neither env nor file nor command: say where the key is, or scheme none")
	case 1:
		return nil
	}
	return errors.New("auth names more than one of env, file and command: keep one")
}

// isToken reports whether s may be a header name.
func isToken(s string) bool {
	for i := 0; i < len(s); i++ {
		c := s[i]
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !letter && c != '-' && c != '_' && c != '.' {
			return false
		}
	}
	return s != ""
}
