package bucket

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"sync"

	"nightshift/internal/s3"
)

// An UnfitError says that a store does not keep to conditions, so that a run
// cannot be kept there.
type UnfitError struct {
	Address string
	Why     string
}

func (e *UnfitError) Error() string {
	return fmt.Sprintf("%s cannot hold a run: %s; use a store that keeps to If-None-Match and If-Match "+
		"(AWS S3 does, so do versitygw, MinIO, Cloudflare R2 and Ceph since 2024), or --out with a local directory",
		e.Address, e.Why)
}

// racers is how many create the probe's object at once.
const racers = 8

// Probe finds out, with some fifteen requests, whether a store keeps to the
// conditions that a run needs: an object that is there is not created again,
// one of several at once creates it, it is listed at once, and it is replaced
// only where the ETag is the one that is named. The error is an [*UnfitError]
// when not, and is otherwise why the store cannot be asked.
func Probe(ctx context.Context, b *s3.Bucket) error {
	key := "probe-" + strings.ToLower(rand.Text())
	err := probe(ctx, b, key)
	_, gone := retried(context.WithoutCancel(ctx), func() (any, error) { return nil, b.Delete(ctx, key) })
	if err == nil {
		err = gone
	}
	return err
}

func probe(ctx context.Context, b *s3.Bucket, key string) error {
	unfit := func(why string) error { return &UnfitError{Address: "s3://" + b.Name, Why: why} }
	won, err := raceToCreate(ctx, b, key)
	switch {
	case err != nil:
		return err
	case won == 0:
		return unfit(fmt.Sprintf("none of %d writers could create an object that was not there", racers))
	case won > 1:
		return unfit(fmt.Sprintf("%d of %d writers created one object: it ignores If-None-Match", won, racers))
	}
	list, err := retried(ctx, func() ([]s3.Object, error) {
		list, _, err := b.List(ctx, key, "", 0)
		return list, err
	})
	if err != nil {
		return err
	}
	if len(list) != 1 {
		return unfit("an object that was just created is not listed")
	}
	replace := func(body, etag string) (string, error) {
		return retried(ctx, func() (string, error) { return b.Put(ctx, key, []byte(body), s3.Condition{ETag: etag}) })
	}
	_, err = replace("other", `"0123456789abcdef0123456789abcdef"`)
	if err == nil {
		return unfit("an object was replaced although its ETag was another: it ignores If-Match")
	}
	if !errors.Is(err, s3.ErrCondition) {
		return err
	}
	info, err := retried(ctx, func() (s3.Object, error) { return b.Head(ctx, key) })
	if err != nil {
		return err
	}
	if info.SHA256 == "" {
		return unfit("it does not keep the metadata of objects")
	}
	if _, err = replace("replaced", info.ETag); !errors.Is(err, s3.ErrCondition) {
		return err
	}
	// Unless it was, and the answer that said so was lost.
	after, err := retried(ctx, func() (s3.Object, error) { return b.Head(ctx, key) })
	if err != nil || after.ETag != info.ETag {
		return err
	}
	return unfit("an object cannot be replaced by its ETag")
}

// raceToCreate lets several create one object and counts who was told that it did.
// One who cannot know, after an error, tries again and counts when the object is
// its own.
func raceToCreate(ctx context.Context, b *s3.Bucket, key string) (won int, err error) {
	var wg sync.WaitGroup
	var mu sync.Mutex
	for n := range racers {
		wg.Go(func() {
			_, failed := retried(ctx, func() (string, error) {
				return b.Put(ctx, key, fmt.Appendf(nil, "writer %d", n), s3.Condition{Absent: true})
			})
			mu.Lock()
			defer mu.Unlock()
			switch {
			case failed == nil:
				won++
			case !errors.Is(failed, s3.ErrCondition):
				err = failed
			}
		})
	}
	wg.Wait()
	if err != nil || won != 0 {
		return won, err
	}
	// One may have created it and not been told: its answer was lost.
	_, err = retried(ctx, func() (s3.Object, error) { return b.Head(ctx, key) })
	if err == nil {
		won = 1
	} else if errors.Is(err, s3.ErrNotFound) {
		err = nil
	}
	return won, err
}
