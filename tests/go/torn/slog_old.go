//go:build !go1.21

package main

import "time"

// As slog writes it, which this release does not have yet.
func slogJSON(n int64) {
	stderr(`{"time":"%s","level":"INFO","msg":"%s","id":%d}`+"\n", time.Now().Format(time.RFC3339Nano), message(n), n)
}
