package s3

import (
	"bufio"
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// Keys are who asks. They do not print.
type Keys struct {
	ID, Secret, Token string
	Expires           time.Time // zero is never
}

// String keeps the secret out of everything that prints.
func (k Keys) String() string { return "key " + k.ID }

// GoString is String.
func (k Keys) GoString() string { return k.String() }

// ErrNoKeys says that no credentials were found.
var ErrNoKeys = errors.New("no credentials for the bucket: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, name a " +
	"profile of ~/.aws/credentials with AWS_PROFILE, or run where the machine or pod has a role")

// FromEnv is the configuration that the usual variables, the shared files
// (~/.aws/credentials, ~/.aws/config), a web identity token, a container's or
// the instance's role give, in this order.
func FromEnv(getenv func(string) string) Config {
	f := &finder{getenv: getenv, http: &http.Client{Timeout: 5 * time.Second}}
	return Config{
		Endpoint: f.first("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "endpoint_url"),
		Region:   f.first("AWS_REGION", "AWS_DEFAULT_REGION", "region"),
		Keys:     f.keys,
	}
}

// A finder finds keys, and finds new ones before they expire.
type finder struct {
	getenv   func(string) string
	http     *http.Client
	metadata string // address of the instance's metadata; "" is the usual one

	mu    sync.Mutex
	found Keys
}

// first is the first of these variables that is set, or of the profile's lines:
// names in lower case are of the file.
func (f *finder) first(names ...string) string {
	for _, name := range names {
		v := f.getenv(name)
		if strings.ToLower(name) == name {
			v = f.profile("AWS_CONFIG_FILE", "config")[name]
		}
		if v != "" {
			return v
		}
	}
	return ""
}

func (f *finder) keys(ctx context.Context) (Keys, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.found.ID != "" && (f.found.Expires.IsZero() || time.Until(f.found.Expires) > 5*time.Minute) {
		return f.found, nil
	}
	k, err := f.find(ctx)
	if err != nil && f.found.ID != "" && time.Until(f.found.Expires) > 0 {
		return f.found, nil // still good
	}
	if err == nil {
		f.found = k
	}
	return k, err
}

func (f *finder) find(ctx context.Context) (Keys, error) {
	if id, secret := f.getenv("AWS_ACCESS_KEY_ID"), f.getenv("AWS_SECRET_ACCESS_KEY"); id != "" && secret != "" {
		return Keys{ID: id, Secret: secret, Token: f.getenv("AWS_SESSION_TOKEN")}, nil
	}
	p := f.profile("AWS_SHARED_CREDENTIALS_FILE", "credentials")
	if p["aws_access_key_id"] != "" && p["aws_secret_access_key"] != "" {
		return Keys{ID: p["aws_access_key_id"], Secret: p["aws_secret_access_key"], Token: p["aws_session_token"]}, nil
	}
	switch {
	case f.getenv("AWS_WEB_IDENTITY_TOKEN_FILE") != "" && f.getenv("AWS_ROLE_ARN") != "":
		return f.webIdentity(ctx)
	case f.getenv("AWS_CONTAINER_CREDENTIALS_FULL_URI") != "":
		return f.container(ctx, f.getenv("AWS_CONTAINER_CREDENTIALS_FULL_URI"))
	case f.getenv("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI") != "":
		return f.container(ctx, "http://169.254.170.2"+f.getenv("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"))
	case f.getenv("AWS_EC2_METADATA_DISABLED") == "true":
		return Keys{}, ErrNoKeys
	}
	k, err := f.instance(ctx)
	if err != nil {
		return Keys{}, ErrNoKeys
	}
	return k, nil
}

// profile reads the lines of one profile of a shared file.
func (f *finder) profile(variable, name string) map[string]string {
	path := f.getenv(variable)
	if path == "" {
		home := f.getenv("HOME")
		if home == "" {
			home = f.getenv("USERPROFILE")
		}
		if home == "" {
			return nil
		}
		path = filepath.Join(home, ".aws", name)
	}
	file, err := os.Open(path)
	if err != nil {
		return nil
	}
	defer file.Close()
	wanted := f.getenv("AWS_PROFILE")
	if wanted == "" {
		wanted = "default"
	}
	return readProfile(file, wanted)
}

func readProfile(r io.Reader, wanted string) map[string]string {
	lines, inside := map[string]string{}, false
	for s := bufio.NewScanner(r); s.Scan(); {
		line := strings.TrimSpace(s.Text())
		if head, ok := strings.CutPrefix(line, "["); ok {
			head = strings.TrimSpace(strings.TrimSuffix(head, "]"))
			inside = strings.TrimSpace(strings.TrimPrefix(head, "profile ")) == wanted
			continue
		}
		name, value, ok := strings.Cut(line, "=")
		if inside && ok && !strings.HasPrefix(line, "#") && !strings.HasPrefix(line, ";") {
			lines[strings.ToLower(strings.TrimSpace(name))] = strings.TrimSpace(value)
		}
	}
	return lines
}

// webIdentity exchanges a token that the platform keeps in a file for keys of a
// role.
func (f *finder) webIdentity(ctx context.Context) (Keys, error) {
	token, err := os.ReadFile(f.getenv("AWS_WEB_IDENTITY_TOKEN_FILE"))
	if err != nil {
		return Keys{}, fmt.Errorf("AWS_WEB_IDENTITY_TOKEN_FILE: %w", err)
	}
	session := f.getenv("AWS_ROLE_SESSION_NAME")
	if session == "" {
		session = "nightshift"
	}
	address := f.getenv("AWS_ENDPOINT_URL_STS")
	if region := f.first("AWS_REGION", "AWS_DEFAULT_REGION", "region"); address == "" && region != "" {
		address = "https://sts." + region + ".amazonaws.com"
	} else if address == "" {
		address = "https://sts.amazonaws.com"
	}
	form := url.Values{"Action": {"AssumeRoleWithWebIdentity"}, "Version": {"2011-06-15"},
		"RoleArn": {f.getenv("AWS_ROLE_ARN")}, "RoleSessionName": {session},
		"WebIdentityToken": {strings.TrimSpace(string(token))}}
	text, err := f.ask(ctx, http.MethodPost, address, form.Encode(), map[string]string{
		"Content-Type": "application/x-www-form-urlencoded"})
	if err != nil {
		return Keys{}, fmt.Errorf("asking for the keys of AWS_ROLE_ARN: %w", err)
	}
	var said struct {
		ID      string    `xml:"AssumeRoleWithWebIdentityResult>Credentials>AccessKeyId"`
		Secret  string    `xml:"AssumeRoleWithWebIdentityResult>Credentials>SecretAccessKey"`
		Token   string    `xml:"AssumeRoleWithWebIdentityResult>Credentials>SessionToken"`
		Expires time.Time `xml:"AssumeRoleWithWebIdentityResult>Credentials>Expiration"`
	}
	if err := xml.Unmarshal(text, &said); err != nil || said.ID == "" {
		return Keys{}, errors.New("asking for the keys of AWS_ROLE_ARN: the answer has none")
	}
	return Keys{said.ID, said.Secret, said.Token, said.Expires}, nil
}

// container asks the agent beside a container (ECS, EKS Pod Identity).
func (f *finder) container(ctx context.Context, address string) (Keys, error) {
	token := f.getenv("AWS_CONTAINER_AUTHORIZATION_TOKEN")
	if path := f.getenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"); path != "" {
		text, err := os.ReadFile(path)
		if err != nil {
			return Keys{}, fmt.Errorf("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE: %w", err)
		}
		token = strings.TrimSpace(string(text))
	}
	text, err := f.ask(ctx, http.MethodGet, address, "", map[string]string{"Authorization": token})
	if err != nil {
		return Keys{}, fmt.Errorf("asking for the container's keys: %w", err)
	}
	return readRole(text)
}

// instance asks the metadata service of the machine, version 2.
func (f *finder) instance(ctx context.Context) (Keys, error) {
	base := f.metadata
	if base == "" {
		base = "http://169.254.169.254"
	}
	token, err := f.ask(ctx, http.MethodPut, base+"/latest/api/token", "",
		map[string]string{"X-aws-ec2-metadata-token-ttl-seconds": "21600"})
	if err != nil {
		return Keys{}, err
	}
	head := map[string]string{"X-aws-ec2-metadata-token": string(token)}
	const roles = "/latest/meta-data/iam/security-credentials/"
	name, err := f.ask(ctx, http.MethodGet, base+roles, "", head)
	if err != nil {
		return Keys{}, err
	}
	first, _, _ := strings.Cut(strings.TrimSpace(string(name)), "\n")
	text, err := f.ask(ctx, http.MethodGet, base+roles+url.PathEscape(first), "", head)
	if err != nil {
		return Keys{}, err
	}
	return readRole(text)
}

// readRole reads the keys of a role as containers and instances get them.
func readRole(text []byte) (Keys, error) {
	var said struct {
		AccessKeyID     string `json:"AccessKeyId"`
		SecretAccessKey string
		Token           string
		Expiration      time.Time
	}
	if err := json.Unmarshal(text, &said); err != nil || said.AccessKeyID == "" {
		return Keys{}, errors.New("the role's answer holds no keys")
	}
	return Keys{said.AccessKeyID, said.SecretAccessKey, said.Token, said.Expiration}, nil
}

func (f *finder) ask(ctx context.Context, method, address, body string, head map[string]string) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, method, address, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	for name, value := range head {
		if value != "" {
			r.Header.Set(name, value)
		}
	}
	resp, err := f.http.Do(r)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s answers %d", r.URL.Host, resp.StatusCode)
	}
	return text, err
}
