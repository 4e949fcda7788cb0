//go:build go1.21

package main

import (
	"log/slog"
	"os"
)

var slogger = slog.New(slog.NewJSONHandler(os.Stderr, nil))

func slogJSON(n int64) { slogger.Info(message(n), "id", n) }
