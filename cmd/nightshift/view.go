package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"nightshift/internal/s3"
	"nightshift/reports/web"
	"nightshift/runner/store/bucket"
)

func (a *app) viewCommand() *cobra.Command {
	var port int
	c := &cobra.Command{
		Use:   "view [RUN|FOLDER]...",
		Short: "View runs of any size in a browser, also while they run",
		Long: `Serves pages on this machine only (127.0.0.1) and prints their address, which
contains a secret: a list of the runs below a folder, what became of each run, its
rows and models with filters, search and sorting, and single rows with everything on
record. Without an argument the runs are those below the folder runs. A folder may be
a bucket, or a part of one, as s3://bucket/evals. Rows are read from the files on
demand; nothing is written. Ctrl-C ends it.`,
		Example: "  nightshift view runs\n  nightshift view runs/tonight --port 8080",
		RunE: func(c *cobra.Command, args []string) error {
			if port < 0 || port > 65535 {
				return usageError("--port: %d is no port", port)
			}
			if len(args) == 0 {
				args = []string{"runs"}
			}
			return a.view(c.Context(), args, port)
		},
	}
	c.Flags().IntVar(&port, "port", 0, "port to listen on (default: a free one)")
	return c
}

func (a *app) view(ctx context.Context, paths []string, port int) error {
	paths = slices.Clone(paths)
	o := web.Options{Request: rebuildRequest, Names: map[string]string{}}
	var copies []*bucket.Folder
	for i, path := range paths {
		if !s3.IsURL(path) {
			continue
		}
		f, err := a.copiesBelow(ctx, path)
		if err != nil {
			return err
		}
		stop := keepFresh(ctx, f, func(text string) { fmt.Fprintln(a.err, text) })
		defer func() { stop(); _ = f.Close() }()
		paths[i], o.Names[f.Dir], copies = f.Dir, strings.TrimRight(path, "/"), append(copies, f)
	}
	o.Open = func(ctx context.Context, dir string) error {
		for _, f := range copies {
			if found, err := f.Whole(ctx, dir); found {
				return err
			}
		}
		return nil
	}
	secret := strings.ToLower(rand.Text())
	viewer, err := web.New(paths, secret, o)
	if err != nil {
		return usageError("%w", err)
	}
	listener, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return usageError("--port: %w", err)
	}
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	server := &http.Server{Handler: viewer, ReadHeaderTimeout: 5 * time.Second, MaxHeaderBytes: 16 << 10}
	go func() {
		<-ctx.Done()
		_ = server.Close() // a question in flight is not worth waiting for
	}()
	fmt.Fprintf(a.out, "http://%s/%s/\n", listener.Addr(), secret)
	fmt.Fprintln(a.err, "Ctrl-C ends it")
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
