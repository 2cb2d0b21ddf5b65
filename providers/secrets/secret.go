// Package secrets holds API keys so that they reach the header they are meant
// for and nothing else: a [Secret] prints as ***, and a [Redactor] takes live
// keys, in the encodings they travel in, out of every text that leaves the
// process.
package secrets

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"time"
	"unique"

	"nightshift/internal/fsx"
)

const mask = "***"

// A Secret is an API key. However it is printed, marshalled or logged it shows
// ***; only Reveal gives the value. The zero Secret holds no key.
//
// Secrets are comparable: two are equal when they hold the same key.
//
// The key lies behind a handle, not in the struct: fmt reaches fields that it
// may not call methods on by reflection, and would print it from there.
type Secret struct{ key unique.Handle[string] }

// New makes a Secret of a key as the user gave it. Nothing is trimmed.
func New(key string) Secret {
	if key == "" {
		return Secret{}
	}
	return Secret{unique.Make(key)}
}

// Reveal returns the key. It is for the place that sets the request header.
func (s Secret) Reveal() string {
	if s.IsZero() {
		return ""
	}
	return s.key.Value()
}

// IsZero reports whether there is no key.
func (s Secret) IsZero() bool { return s == Secret{} }

func (Secret) String() string               { return mask }
func (Secret) GoString() string             { return mask }
func (Secret) MarshalText() ([]byte, error) { return []byte(mask), nil }
func (Secret) MarshalJSON() ([]byte, error) { return []byte(`"` + mask + `"`), nil }
func (Secret) MarshalYAML() (any, error)    { return mask, nil }
func (Secret) LogValue() slog.Value         { return slog.StringValue(mask) }

// Format prints *** for every verb and flag, %x and %d included.
func (Secret) Format(f fmt.State, _ rune) { io.WriteString(f, mask) }

// FromEnv reads a key from an environment variable. An unset or empty
// variable, and one that could not go into a header, are errors that name it.
func FromEnv(name string) (Secret, error) {
	value := strings.TrimSpace(os.Getenv(name))
	if value == "" {
		return Secret{}, fmt.Errorf("the environment variable %s is not set: "+
			"put the API key there, or name a file of mode 0600 with auth.file", name)
	}
	if err := checkHeaderValue(value); err != nil {
		return Secret{}, fmt.Errorf("the environment variable %s: %w", name, err)
	}
	return New(value), nil
}

// maxKeyFile is far above any key and far below a file named by mistake.
const maxKeyFile = 64 << 10

// FromFile reads a key from a regular file that only its owner may read (mode
// 0600 or stricter). One newline at the end is not part of the key.
func FromFile(path string) (Secret, error) {
	f, err := os.Open(path)
	if err != nil {
		return Secret{}, fmt.Errorf("the key file: %w", err)
	}
	defer f.Close()
	// The file that was opened is the one that is checked: a name can change
	// hands between a stat and an open.
	info, err := f.Stat()
	if err != nil {
		return Secret{}, fmt.Errorf("the key file: %w", err)
	}
	if !info.Mode().IsRegular() {
		return Secret{}, fmt.Errorf("the key file %s is not a regular file", path)
	}
	if fsx.OthersRead(info) {
		return Secret{}, fmt.Errorf("others may read the key file %s (mode %04o): run chmod 600 %s",
			path, info.Mode().Perm(), path)
	}
	raw, err := io.ReadAll(io.LimitReader(f, maxKeyFile+1))
	if err != nil {
		return Secret{}, fmt.Errorf("the key file: %w", err)
	}
	if len(raw) > maxKeyFile {
		return Secret{}, fmt.Errorf("the key file %s is larger than %d bytes: it does not look like a key", path, maxKeyFile)
	}
	value := strings.TrimSuffix(strings.TrimSuffix(string(raw), "\n"), "\r")
	if value == "" {
		return Secret{}, fmt.Errorf("the key file %s is empty", path)
	}
	if err := checkHeaderValue(value); err != nil {
		return Secret{}, fmt.Errorf("the key file %s: %w", path, err)
	}
	return New(value), nil
}

// commandTime is how long a command that prints a key may take.
const commandTime = 30 * time.Second

// FromCommand runs a program and reads a key from what it prints: one line, to
// standard output. What it says on standard error is not shown: it may hold the
// key.
func FromCommand(argv ...string) (Secret, error) {
	if len(argv) == 0 || argv[0] == "" {
		return Secret{}, errors.New("auth.command is empty: give the program that prints the key, and its arguments")
	}
	ctx, cancel := context.WithTimeout(context.Background(), commandTime)
	defer cancel()
	out, err := exec.CommandContext(ctx, argv[0], argv[1:]...).Output()
	switch {
	case ctx.Err() != nil:
		return Secret{}, fmt.Errorf("the command %s printed no key within %v", argv[0], commandTime)
	case err != nil:
		return Secret{}, fmt.Errorf("the command %s that prints the key failed: %v", argv[0], err)
	case len(out) > maxKeyFile:
		return Secret{},
			fmt.Errorf("the command %s printed more than %d bytes: that does not look like a key", argv[0], maxKeyFile)
	}
	value := strings.TrimSpace(string(out))
	if value == "" {
		return Secret{}, fmt.Errorf("the command %s printed no key", argv[0])
	}
	if err := checkHeaderValue(value); err != nil {
		return Secret{}, fmt.Errorf("what the command %s printed: %w", argv[0], err)
	}
	return New(value), nil
}

// checkHeaderValue refuses what could not be sent in a header. The message
// does not show the value.
func checkHeaderValue(value string) error {
	for i := 0; i < len(value); i++ {
		if value[i] < 0x20 || value[i] == 0x7f {
			return errors.New("the key holds a line break or another control character: it must be one line")
		}
	}
	return nil
}
