package main

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
)

// An entry is one write, or a number of log lines left out.
type entry struct {
	kind byte
	body []byte
	left int
}

const (
	firstLogLines = 150 // from which a reader learns how the log looks
	firstUnits    = 4
	runEnds       = 3 // log lines kept at each end of a longer run
)

func record() error {
	godebug := *settings
	if godebug == "" {
		godebug = "gctrace=1,schedtrace=1"
		if *detail {
			godebug = "gctrace=1,schedtrace=15,scheddetail=1"
		}
	}
	var fds [2]int
	if err := syscall.Pipe2(fds[:], syscall.O_CLOEXEC|syscall.O_DIRECT); err != nil {
		return err
	}
	read, write := os.NewFile(uintptr(fds[0]), "stderr"), os.NewFile(uintptr(fds[1]), "stderr")
	self, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.Command(self, "-service", "-logger", *logger, "-rate", strconv.Itoa(*rate), "-for", length.String())
	cmd.Stderr = write
	var stdout bytes.Buffer
	cmd.Stdout = &stdout
	cmd.Env = append(os.Environ(), "GODEBUG="+godebug)
	if err := cmd.Start(); err != nil {
		return err
	}
	_ = write.Close()
	keeper := &keeper{}
	if err := keeper.read(read); err != nil {
		return err
	}
	if err := cmd.Wait(); err != nil {
		return err
	}
	lines, err := strconv.Atoi(strings.TrimSpace(stdout.String()))
	if err != nil {
		return err
	}
	reached := int(float64(lines) / length.Seconds())
	file, err := os.OpenFile(*output, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	to := bufio.NewWriter(file)
	fmt.Fprintf(to, "== %s lines_per_second=%d trace_lines=%d torn=%d\n", *name, reached, keeper.all, keeper.allTorn)
	for _, e := range keeper.kept {
		_ = to.WriteByte(e.kind)
		n := len(e.body)
		if e.kind == '-' {
			n = e.left
		}
		_, _ = to.Write(binary.AppendUvarint(nil, uint64(n)))
		_, _ = to.Write(e.body)
	}
	if err := to.Flush(); err != nil {
		return err
	}
	return file.Close()
}

// keeper takes the stream apart into units, each from one SCHED line to the next, and keeps those
// in which a line was torn.
type keeper struct {
	kept     []entry
	unit     []entry
	units    int
	logLines int
	wanted   bool // the next unit ends the one kept
	keptTorn int
	open     []bool // a trace line not ended yet, and the lines it stands in: torn?
	torn     int    // in this unit
	all      int
	allTorn  int
}

func isLog(packet []byte) bool {
	if len(packet) == 4096 || bytes.Contains(packet, []byte(mark)) {
		return true
	}
	for _, line := range imitations {
		if string(packet) == line {
			return true
		}
	}
	return false
}

func begins(packet []byte) bool {
	switch string(packet) {
	case "SCHED ", "gc ", "  P", "  M", "  G":
		return true
	}
	return false
}

func (k *keeper) read(from io.Reader) error {
	buf := make([]byte, 1<<16)
	for {
		n, err := from.Read(buf)
		if n > 0 {
			k.packet(append([]byte(nil), buf[:n]...))
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (k *keeper) packet(packet []byte) {
	if isLog(packet) {
		k.logLines++
		for i := range k.open {
			k.open[i] = true
		}
		k.unit = append(k.unit, entry{kind: 'a', body: packet})
		return
	}
	if begins(packet) {
		if len(k.open) == 0 && packet[0] == 'S' {
			k.endUnit()
		}
		k.open = append(k.open, false)
	}
	k.unit = append(k.unit, entry{kind: 't', body: packet})
	if last := len(k.open) - 1; last >= 0 && packet[len(packet)-1] == '\n' {
		k.all++
		if k.open[last] {
			k.torn++
			k.allTorn++
		}
		k.open = k.open[:last]
	}
}

func (k *keeper) endUnit() {
	most := *torn
	if *detail {
		most = *blocks
	}
	keep := k.units < firstUnits || k.wanted || k.torn > 0 && k.keptTorn < most
	if keep {
		k.kept = append(k.kept, k.shortened()...)
	}
	k.wanted = k.torn > 0 && keep
	if k.wanted {
		if *detail {
			k.keptTorn++
		} else {
			k.keptTorn += k.torn
		}
	}
	k.unit, k.torn = nil, 0
	k.units++
}

// shortened leaves out the middle of long runs of log lines, once enough of them were seen.
func (k *keeper) shortened() []entry {
	if k.logLines <= firstLogLines {
		return k.unit
	}
	var short []entry
	for at := 0; at < len(k.unit); {
		end := at
		for end < len(k.unit) && k.unit[end].kind == 'a' {
			end++
		}
		if end == at {
			short = append(short, k.unit[at])
			at++
			continue
		}
		short = append(short, shortRun(k.unit[at:end])...)
		at = end
	}
	return short
}

// shortRun cuts only where no write is under way: one longer than PIPE_BUF is several packets, and
// those of several goroutines stand between each other.
func shortRun(run []entry) []entry {
	var clean []int // numbers of entries after which no write is under way
	underWay := 0
	for i, e := range run {
		first, ends := bytes.HasPrefix(e.body, []byte(`{"time"`)), e.body[len(e.body)-1] == '\n'
		switch {
		case first && !ends:
			underWay++
		case !first && ends && len(e.body) > 0 && underWay > 0:
			underWay--
		}
		if underWay == 0 && ends {
			clean = append(clean, i+1)
		}
	}
	if len(clean) <= 2*runEnds+1 {
		return run
	}
	from, to := clean[runEnds-1], clean[len(clean)-runEnds-1]
	short := append([]entry(nil), run[:from]...)
	short = append(short, entry{kind: '-', left: to - from})
	return append(short, run[to:]...)
}
