// Command torn records how a program's log tears the runtime's traces: it runs itself as a service
// that logs and collects garbage under GODEBUG, with a pipe in packet mode as stderr, so that each
// write(2) is known, and keeps what surrounds torn trace lines.
//
// A cell is written as a line "== NAME key=value…" and entries: a byte (t: a write of the runtime,
// a: one of the log, -: log lines left out here), the length or number as a uvarint, and the bytes.
package main

import (
	"flag"
	"fmt"
	"os"
	"time"
)

var (
	service  = flag.Bool("service", false, "be the service (the recorder starts itself so)")
	logger   = flag.String("logger", "std", "kind of `logger`")
	rate     = flag.Int("rate", 1000, "log `lines` a second; 0: as many as possible")
	length   = flag.Duration("for", 1200*time.Millisecond, "how long")
	detail   = flag.Bool("detail", false, "scheddetail blocks instead of schedtrace lines")
	torn     = flag.Int("torn", 12, "most torn trace lines kept")
	blocks   = flag.Int("blocks", 2, "with -detail: most blocks kept of which a line is torn")
	name     = flag.String("name", "", "name of the cell")
	output   = flag.String("o", "", "`file` to append the cell to")
	settings = flag.String("godebug", "", "GODEBUG of the service; empty: by -detail")
)

func main() {
	flag.Parse()
	if *service {
		serve()
		return
	}
	if err := record(); err != nil {
		fmt.Fprintln(os.Stderr, "torn:", err)
		os.Exit(1)
	}
}
