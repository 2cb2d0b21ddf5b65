package s3_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"nightshift/internal/s3"
	"nightshift/internal/testdata/s3test"
)

func open(t *testing.T, s *s3test.Server, address string) *s3.Bucket {
	t.Helper()
	b, err := s3.Open(address, s3.FromEnv(s.Getenv))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestObjects(t *testing.T) {
	s := s3test.New(t)
	b, ctx := open(t, s, "s3://runs/a b/ünder~+"), t.Context()
	etag, err := b.Put(ctx, "one", []byte("1"), s3.Condition{Absent: true})
	if err != nil || etag == "" {
		t.Fatal(etag, err)
	}
	if _, err := b.Put(ctx, "one", []byte("2"), s3.Condition{Absent: true}); !errors.Is(err, s3.ErrCondition) {
		t.Fatalf("a second create: %v", err)
	}
	if _, err := b.Put(ctx, "one", []byte("2"), s3.Condition{ETag: `"other"`}); !errors.Is(err, s3.ErrCondition) {
		t.Fatalf("another ETag: %v", err)
	}
	if _, err := b.Put(ctx, "one", []byte("22"), s3.Condition{ETag: etag}); err != nil {
		t.Fatal(err)
	}
	body, info, err := b.Get(ctx, "one", 2)
	if err != nil || string(body) != "22" || info.Size != 2 || len(info.SHA256) != 64 || info.Modified.IsZero() {
		t.Fatalf("%q %+v %v", body, info, err)
	}
	if _, _, err := b.Get(ctx, "one", 1); err == nil || !strings.Contains(err.Error(), "more than 1 bytes") {
		t.Fatalf("an object that is too long: %v", err)
	}
	if _, err := b.Head(ctx, "none"); !errors.Is(err, s3.ErrNotFound) {
		t.Fatal(err)
	}
	if err := errors.Join(b.Delete(ctx, "one"), b.Delete(ctx, "one")); err != nil {
		t.Fatal(err)
	}
}

func TestListTurnsPages(t *testing.T) {
	s := s3test.New(t)
	b, ctx := open(t, s, "s3://runs/x"), t.Context()
	for i := range 20 {
		if _, err := b.Put(ctx, fmt.Sprintf("log/%02d", i), []byte{byte(i)}, s3.Condition{}); err != nil {
			t.Fatal(err)
		}
	}
	s.Set("x-other/log/99", nil)
	list, date, err := b.List(ctx, "log/", "log/03", 0)
	if err != nil || len(list) != 16 || list[0].Key != "log/04" || list[15].Key != "log/19" || date.IsZero() {
		t.Fatalf("%v %v %v", list, date, err)
	}
}

func TestFolders(t *testing.T) {
	s := s3test.New(t)
	for _, key := range []string{"one", "x/a/1", "x/a/2", "x/b/c/1", "x/d", "xy/e/1"} {
		s.Set(key, nil)
	}
	for i := range 20 { // more than a page
		s.Set(fmt.Sprintf("many/%02d/1", i), nil)
		s.Set(fmt.Sprintf("many/%02d/2", i), nil)
	}
	b, err := s3.OpenFolder("s3://runs/", s3.FromEnv(s.Getenv))
	if err != nil {
		t.Fatal(err)
	}
	for at, want := range map[string]string{"": "[many/ x/ xy/]", "x/": "[a/ b/]", "x/b/": "[c/]", "none/": "[]"} {
		if got, err := b.At(at).Folders(t.Context()); err != nil || fmt.Sprint(got) != want {
			t.Errorf("%q: %v %v, want %s", at, got, err, want)
		}
	}
	if got, err := b.At("many/").Folders(t.Context()); err != nil || len(got) != 20 || got[19] != "19/" {
		t.Errorf("%v %v", got, err)
	}
}

func TestAddresses(t *testing.T) {
	for address, want := range map[string]string{
		"s3://runs/a":      "runs a/",
		"s3://runs/a/b/":   "runs a/b/",
		"s3://runs":        "runs ",
		"s3://runs/":       "runs ",
		"s3://Runs/a":      "no address",
		"s3://runs/a/../b": "no name in a path",
		"gs://runs/a":      "no address",
		"s3://ab/a":        "no address",
	} {
		bucket, prefix, err := s3.Parse(address)
		got := bucket + " " + prefix
		if err != nil {
			got = err.Error()
		}
		if !strings.Contains(got, want) {
			t.Errorf("%s: %s, want %s", address, got, want)
		}
	}
}

func TestErrorsSayWhatToTry(t *testing.T) {
	s := s3test.New(t)
	env := s.Env()
	try := func(address string) string {
		b, err := s3.Open(address, s3.FromEnv(func(n string) string { return env[n] }))
		if err == nil {
			_, err = b.Put(t.Context(), "x", nil, s3.Condition{})
		}
		if err == nil {
			return ""
		}
		return err.Error()
	}
	if got := try("s3://runs/"); !strings.Contains(got, "add the name of the run: s3://runs/run") {
		t.Error(got)
	}
	if got := try("s3://other/a"); !strings.Contains(got, "NoSuchBucket") || !strings.Contains(got, "create the bucket") {
		t.Error(got)
	}
	env["AWS_ACCESS_KEY_ID"] = "wrong-id"
	if got := try("s3://runs/a"); !strings.Contains(got, "those of this store") || strings.Contains(got, "test-secret") {
		t.Error(got)
	}
	env["AWS_ENDPOINT_URL_S3"] = "http://127.0.0.1:1"
	if got := try("s3://runs/a"); !strings.Contains(got, "127.0.0.1:1 does not answer") {
		t.Error(got)
	}
	env["AWS_ENDPOINT_URL_S3"] = "nonsense"
	if got := try("s3://runs/a"); !strings.Contains(got, "no URL like") {
		t.Error(got)
	}
	if got := (&s3.Error{Status: 301, Region: "eu-west-1"}).Error(); !strings.Contains(got, "set AWS_REGION=eu-west-1") {
		t.Error(got)
	}
}

func TestPassing(t *testing.T) {
	for status, want := range map[int]bool{0: true, 409: true, 429: true, 500: true, 503: true, 403: false, 404: false,
		412: false, 501: false} {
		if got := s3.Passing(&s3.Error{Status: status}); got != want {
			t.Errorf("%d: %v", status, got)
		}
	}
}

// The keys are found where the AWS tools find them, the first that is there.
func TestKeys(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	sts := http.NewServeMux()
	sts.HandleFunc("/sts/", func(w http.ResponseWriter, r *http.Request) {
		if r.FormValue("WebIdentityToken") != "token" || r.FormValue("RoleArn") != "role" {
			w.WriteHeader(http.StatusForbidden)
		}
		fmt.Fprint(w, `<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult><Credentials>
<AccessKeyId>web</AccessKeyId><SecretAccessKey>s</SecretAccessKey><SessionToken>t</SessionToken>
<Expiration>2046-01-02T03:04:05Z</Expiration></Credentials></AssumeRoleWithWebIdentityResult>
</AssumeRoleWithWebIdentityResponse>`)
	})
	sts.HandleFunc("/container", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "permit" {
			w.WriteHeader(http.StatusForbidden)
		}
		fmt.Fprint(w, `{"AccessKeyId":"pod","SecretAccessKey":"s","Token":"t","Expiration":"2046-01-02T03:04:05Z"}`)
	})
	server := serve(t, sts)
	for name, env := range map[string]map[string]string{
		"env": {"AWS_ACCESS_KEY_ID": "env", "AWS_SECRET_ACCESS_KEY": "s", "AWS_PROFILE": "two"},
		"two": {"AWS_PROFILE": "two", "AWS_SHARED_CREDENTIALS_FILE": write("credentials",
			"[default]\naws_access_key_id=one\naws_secret_access_key=s\n# note\n[two]\naws_access_key_id = two\n"+
				"aws_secret_access_key = s=s\n")},
		"one": {"AWS_SHARED_CREDENTIALS_FILE": filepath.Join(dir, "credentials")},
		"web": {"AWS_WEB_IDENTITY_TOKEN_FILE": write("token", "token\n"), "AWS_ROLE_ARN": "role",
			"AWS_ENDPOINT_URL_STS": server + "/sts/"},
		"pod": {"AWS_CONTAINER_CREDENTIALS_FULL_URI": server + "/container",
			"AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": write("permit", "permit")},
		"": {"AWS_EC2_METADATA_DISABLED": "true"},
	} {
		c := s3.FromEnv(func(n string) string { return env[n] })
		k, err := c.Keys(context.Background())
		if k.ID != name || (err == nil) != (name != "") || name == "" && !errors.Is(err, s3.ErrNoKeys) {
			t.Errorf("%s: %v %v", name, k.ID, err)
		}
	}
	config := s3.FromEnv(func(n string) string {
		return map[string]string{"AWS_CONFIG_FILE": write("config", "[profile p]\nregion = eu-north-1\n"+
			"endpoint_url = http://x\n"), "AWS_PROFILE": "p"}[n]
	})
	if config.Region != "eu-north-1" || config.Endpoint != "http://x" {
		t.Errorf("%+v", config)
	}
	if text := fmt.Sprintf("%v %+v %#v", s3.Keys{ID: "id", Secret: "hidden"}, s3.Keys{Secret: "hidden"},
		s3.Keys{Secret: "hidden", Token: "hidden"}); strings.Contains(text, "hidden") {
		t.Error(text)
	}
}

// The example of "Signature Calculations for the Authorization Header" in the
// Amazon S3 API Reference: GET Object and List Objects.
func TestSignatures(t *testing.T) {
	for want, got := range map[string]string{
		"34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7": s3.SignedExample("?max-keys=2&prefix=J"),
		"fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543": s3.SignedExample("?lifecycle="),
	} {
		if !strings.HasSuffix(got, want) {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

func TestEmptyObject(t *testing.T) {
	s := s3test.New(t)
	b := open(t, s, "s3://runs/x")
	if _, err := b.Put(t.Context(), "empty", nil, s3.Condition{}); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if _, err := b.GetTo(t.Context(), "empty", &out, 10); err != nil || out.Len() != 0 {
		t.Fatal(out.Len(), err)
	}
}

func serve(t *testing.T, h http.Handler) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.URL
}
