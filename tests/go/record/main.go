// Command record runs a Go program and writes down what came when: its stderr (GODEBUG traces and
// log lines) and its /debug/vars. A recording is the line "godebug-exporter recording 1", then
// entries: a line "@<milliseconds since the start> <kind> <size>", so many bytes, a newline.
//
// The kinds: stderr (whole lines; the rest without a newline only at the end), packet (one write of
// the program, with -packets), vars (a body of /debug/vars).
package main

import (
	"bufio"
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"
)

var (
	output  = flag.String("o", "", "`file` to write")
	length  = flag.Duration("for", 60*time.Second, "how long to record; then the program gets SIGTERM")
	every   = flag.Duration("vars", 0, "how often to fetch /debug/vars; 0: never")
	varsURL = flag.String("vars-url", "", "`URL` of /debug/vars; without it, from the program's line \"listening HOST:PORT\" on stdout")
	godebug = flag.String("godebug", "", "GODEBUG of the program; empty: the inherited one")
	packets = flag.Bool("packets", false, "give the program a pipe in packet mode as stderr, and keep each write apart")
)

const (
	pipeSize = 1 << 20
	batch    = 2 * time.Millisecond // lets the pieces of a trace come together in one entry
)

func main() {
	flag.Usage = func() {
		fmt.Fprintln(flag.CommandLine.Output(), "usage: record -o FILE [flags] -- PROGRAM [ARGUMENT...]")
		flag.PrintDefaults()
	}
	flag.Parse()
	if *output == "" || flag.NArg() == 0 {
		flag.Usage()
		os.Exit(2)
	}
	if err := run(flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "record:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	file, err := os.Create(*output)
	if err != nil {
		return err
	}
	rec := &recording{to: bufio.NewWriter(file), start: time.Now()}
	if _, err := rec.to.WriteString("godebug-exporter recording 1\n"); err != nil {
		return err
	}
	stderr, write, err := pipe()
	if err != nil {
		return err
	}
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stderr = write
	if *godebug != "" {
		cmd.Env = append(os.Environ(), "GODEBUG="+*godebug)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	_ = write.Close()

	done := make(chan struct{})
	url := make(chan string, 1)
	var readers sync.WaitGroup
	readers.Add(2)
	go func() { defer readers.Done(); rec.readStderr(stderr) }()
	go func() { defer readers.Done(); readStdout(stdout, url) }()
	if *every > 0 {
		go rec.fetchVars(url, done)
	}
	deadline := time.AfterFunc(*length, func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		time.Sleep(5 * time.Second)
		_ = cmd.Process.Kill()
	})
	readers.Wait()
	deadline.Stop()
	close(done)
	exit := cmd.Wait()
	if exit != nil {
		fmt.Fprintln(os.Stderr, "record: the program ended with", exit)
	}
	rec.mu.Lock() // and never again: a late fetch is not written
	if rec.err == nil {
		rec.err = rec.to.Flush()
	}
	if err := file.Close(); rec.err == nil {
		rec.err = err
	}
	return rec.err
}

// pipe returns both ends. In packet mode every write of up to 4096 bytes is one read.
func pipe() (read, write *os.File, err error) {
	flags := syscall.O_CLOEXEC
	if *packets {
		flags |= syscall.O_DIRECT
	}
	var fds [2]int
	if err := syscall.Pipe2(fds[:], flags); err != nil {
		return nil, nil, os.NewSyscallError("pipe2", err)
	}
	const setPipeSize = 1031 // F_SETPIPE_SZ; where it is refused, the small pipe has to do
	_, _, _ = syscall.Syscall(syscall.SYS_FCNTL, uintptr(fds[1]), setPipeSize, pipeSize)
	return os.NewFile(uintptr(fds[0]), "stderr"), os.NewFile(uintptr(fds[1]), "stderr"), nil
}

type recording struct {
	mu    sync.Mutex
	to    *bufio.Writer
	start time.Time
	err   error
}

func (r *recording) entry(kind string, body []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err == nil {
		_, r.err = fmt.Fprintf(r.to, "@%d %s %d\n%s\n", time.Since(r.start).Milliseconds(), kind, len(body), body)
	}
}

func (r *recording) readStderr(from io.Reader) {
	buf := make([]byte, pipeSize)
	var rest []byte
	for {
		if !*packets {
			time.Sleep(batch)
		}
		n, err := from.Read(buf)
		if *packets {
			if n > 0 {
				r.entry("packet", buf[:n])
			}
		} else if end := bytes.LastIndexByte(buf[:n], '\n') + 1; end > 0 {
			r.entry("stderr", append(rest, buf[:end]...))
			rest = append([]byte(nil), buf[end:n]...)
		} else {
			rest = append(rest, buf[:n]...)
		}
		if err != nil {
			if len(rest) > 0 {
				r.entry("stderr", rest)
			}
			return
		}
	}
}

// readStdout passes the program's stdout on, and looks for its address.
func readStdout(from io.Reader, url chan<- string) {
	lines := bufio.NewReader(from)
	for {
		line, err := lines.ReadString('\n')
		fmt.Print(line)
		if strings.HasPrefix(line, "listening ") {
			select {
			case url <- "http://" + strings.TrimSpace(line[len("listening "):]) + "/debug/vars":
			default:
			}
		}
		if err != nil {
			return
		}
	}
}

func (r *recording) fetchVars(found <-chan string, done <-chan struct{}) {
	url := *varsURL
	if url == "" {
		select {
		case url = <-found:
		case <-done:
			return
		}
	}
	tick := time.NewTicker(*every)
	defer tick.Stop()
	client := http.Client{Timeout: *every}
	for {
		body, err := fetch(&client, url)
		if err == nil {
			r.entry("vars", body)
		}
		select {
		case <-done:
			return
		case <-tick.C:
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, "record:", err)
		}
	}
}

func fetch(client *http.Client, url string) ([]byte, error) {
	response, err := client.Get(url)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, errors.New(url + ": " + response.Status)
	}
	return io.ReadAll(response.Body)
}
