// Command crash ends, or nearly ends, in the way that -mode names. Standard library only; it builds
// with every Go from 1.19 on.
package main

import (
	"bufio"
	"errors"
	"flag"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"sort"
	"strings"
	"sync"
	"syscall"
	"time"
	"unsafe"
)

var (
	mode  = flag.String("mode", "", "how to end: one of "+strings.Join(names(), ", "))
	text  = flag.String("text", "boom", "`value` of a panic; \\n is a line feed")
	noise = flag.Int("log", 0, "goroutines that log all the while, as fast as they can")
	run   = flag.Duration("run", 0, "how long to run before")
	after = flag.Duration("after", 0, "how long to go on, where the mode does not end the program")
	leak  = flag.Int("leak", 0, "goroutines that wait for nothing")
	gcs   = flag.Int("gc", 0, "calls of runtime.GC before and, where the program goes on, after")
)

func main() {
	flag.Parse()
	end, ok := modes()[*mode]
	if !ok {
		fmt.Fprintln(os.Stderr, "crash: unknown -mode "+*mode)
		os.Exit(64)
	}
	for i := 0; i < *noise; i++ {
		go logWithoutEnd()
	}
	for i := 0; i < *leak; i++ {
		go waitForNothing(make(chan int))
	}
	collect()
	time.Sleep(*run)
	end()
	collect()
	time.Sleep(*after)
}

// Tells of signals, until a line comes: it repeats that and ends.
func tellSignals() {
	signals := make(chan os.Signal, 64)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT)
	lines := make(chan string)
	go func() {
		line, _ := bufio.NewReader(os.Stdin).ReadString('\n')
		lines <- line
	}()
	fmt.Println("begun")
	for {
		select {
		case s := <-signals:
			fmt.Fprintln(os.Stderr, "trapped "+s.String())
		case line := <-lines:
			fmt.Fprint(os.Stderr, line)
			os.Exit(4)
		}
	}
}

func collect() {
	for i := 0; i < *gcs; i++ {
		runtime.GC()
	}
}

func logWithoutEnd() {
	for n := 0; ; n++ {
		log.Printf("INFO request served n=%d", n)
	}
}

func waitForNothing(answer chan int) { <-answer }

func names() (all []string) {
	for name := range modes() {
		all = append(all, name)
	}
	sort.Strings(all)
	return all
}

func value() string { return strings.ReplaceAll(*text, `\n`, "\n") }

type failure struct{ code int }

func (f failure) Error() string { return fmt.Sprintf("failure %d: %s", f.code, value()) }

type named string

// The functions that blame is laid on are not inlined, so that they stand in every traceback.
func modes() map[string]func() {
	return map[string]func(){
		"panic":        panicString,
		"error":        func() { panic(failure{7}) },
		"wrapped":      func() { panic(fmt.Errorf("wrapped: %w", errors.New(value()))) },
		"named":        func() { panic(named(value())) },
		"struct":       func() { panic(struct{ a, b int }{1, 2}) },
		"goroutine":    func() { go panicString(); time.Sleep(time.Minute) },
		"nested":       nested,
		"repanic":      repanic,
		"after":        panicAfterRecover,
		"logpanic":     logPanic,
		"nil":          func() { writeTo(nil) },
		"index":        func() { indexOf([]int{1}, len(os.Args)+8) },
		"deadlock":     deadlock,
		"goexit":       func() { runtime.Goexit() },
		"mapwrites":    func() { mapWrites() },
		"unlock":       unlock,
		"rwunlock":     func() { new(sync.RWMutex).Unlock() },
		"overflow":     func() { debug.SetMaxStack(1 << 20); fmt.Println(overflow(0)) },
		"memory":       outOfMemory,
		"fault":        func() { writeTo((*int)(badAddress())) },
		"threads":      func() { debug.SetMaxThreads(1); blockThreads() },
		"quit":         func() { kill(syscall.SIGQUIT) },
		"abort":        func() { kill(syscall.SIGABRT) },
		"race":         func() { race() },
		"exit":         func() { os.Exit(3) },
		"none":         func() {},
		"recovered":    func() { recovered(reportStack) },
		"recovered-as": func() { recovered(reportAsRuntime) },
		"recovered-by": func() { recovered(reportOwnStack) },
		"http":         httpPanic,
		"signals":      tellSignals,
		"said":         func() { fmt.Fprintln(os.Stderr, "panic: "+value()) },
		"said-fatal":   func() { fmt.Fprintln(os.Stderr, "fatal error: "+value()) },
	}
}

//go:noinline
func panicString() { panic(value()) }

//go:noinline
func nested() {
	defer func() { panic("second") }()
	panic(value())
}

//go:noinline
func repanic() {
	defer func() { panic(recover()) }()
	panic(value())
}

//go:noinline
func panicAfterRecover() {
	defer func() {
		_ = recover()
		panic("after")
	}()
	panic(value())
}

//go:noinline
func logPanic() { log.Panicf("cannot go on: %s", value()) }

//go:noinline
func writeTo(p *int) { *p = 1 }

//go:noinline
func indexOf(list []int, i int) int { return list[i] }

//go:noinline
func deadlock() { waitForNothing(make(chan int)) }

// mapWrites writes to keys that are there: writers of a map that grows meanwhile may also crash in
// another way, before the runtime sees what they do.
//
//go:noinline
func mapWrites() {
	shared := map[int]int{}
	for i := 0; i < 1000; i++ {
		shared[i] = i
	}
	for i := 0; i < 8; i++ {
		go writeMap(shared)
	}
	time.Sleep(time.Minute)
}

//go:noinline
func writeMap(shared map[int]int) {
	for i := 0; ; i++ {
		shared[i%1000]++
	}
}

//go:noinline
func unlock() { new(sync.Mutex).Unlock() }

//go:noinline
func overflow(n int) int { return overflow(n+1) + 1 }

var kept [][]byte

//go:noinline
func outOfMemory() {
	limit := syscall.Rlimit{Cur: 2 << 30, Max: 2 << 30}
	if err := syscall.Setrlimit(syscall.RLIMIT_AS, &limit); err != nil {
		log.Fatal(err)
	}
	for {
		kept = append(kept, make([]byte, 64<<20))
	}
}

// badAddress is of memory of its own that may not be touched: any address that is only thought to be
// free may be mapped in one process of a thousand.
//
//go:noinline
func badAddress() unsafe.Pointer {
	page, err := syscall.Mmap(-1, 0, 1<<16, syscall.PROT_NONE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		log.Fatal(err)
	}
	return unsafe.Pointer(&page[0x1234])
}

//go:noinline
func blockThreads() {
	for {
		go func() {
			runtime.LockOSThread()
			select {}
		}()
	}
}

func kill(signal syscall.Signal) {
	_ = syscall.Kill(os.Getpid(), signal)
	time.Sleep(time.Minute)
}

//go:noinline
func race() {
	var counter int
	var both sync.WaitGroup
	both.Add(2)
	for i := 0; i < 2; i++ {
		go increment(&counter, &both)
	}
	both.Wait()
}

//go:noinline
func increment(counter *int, done *sync.WaitGroup) {
	*counter++
	done.Done()
}

func recovered(report func(problem interface{})) {
	defer func() {
		if problem := recover(); problem != nil {
			report(problem)
		}
	}()
	panicString()
}

func reportStack(problem interface{}) {
	fmt.Fprintln(os.Stderr, "panic:", problem)
	debug.PrintStack()
}

// reportAsRuntime imitates the runtime, blank line and all.
func reportAsRuntime(problem interface{}) {
	fmt.Fprintf(os.Stderr, "panic: %v\n\n%s", problem, debug.Stack())
}

func reportOwnStack(problem interface{}) {
	stack := make([]byte, 1<<16)
	fmt.Fprintf(os.Stderr, "panic: %v\n\n%s", problem, stack[:runtime.Stack(stack, false)])
}

func httpPanic() {
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panicString() }))
	defer server.Close()
	if response, err := http.Get(server.URL); err == nil {
		_ = response.Body.Close()
	}
}
