package nightshift

import "context"

type waitKey struct{}

// WithWaiting returns a context for [Provider.Complete] that carries a second,
// shorter-lived one: when waiting ends, a request that has not been sent yet
// is given up at once, while one in flight goes on until ctx itself ends. That
// is how a run stops without losing what is being paid for.
func WithWaiting(ctx, waiting context.Context) context.Context {
	return context.WithValue(ctx, waitKey{}, waiting)
}

// Waiting returns the context to wait under: the one given to [WithWaiting],
// or ctx itself. It must not be used for the request.
func Waiting(ctx context.Context) context.Context {
	if w, ok := ctx.Value(waitKey{}).(context.Context); ok {
		return w
	}
	return ctx
}
