// Command service is a small HTTP service that misbehaves as told: it leaks goroutines, allocates,
// keeps memory, burns CPU and logs, and it reports what it knows about itself (/truth), so that a
// test can compare. Standard library only; it builds with every Go from 1.19 on.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"expvar"
	"flag"
	"fmt"
	"io"
	"log"
	"math"
	"net"
	"net/http"
	_ "net/http/pprof"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"runtime/pprof"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

var (
	addr     = flag.String("addr", "127.0.0.1:0", "`address` to listen on")
	leakRate = flag.Float64("leak", 0, "goroutines leaked per second")
	allocMiB = flag.Float64("alloc", 0, "MiB of garbage allocated per second, in small objects")
	liveMiB  = flag.Int("live", 0, "MiB kept alive")
	spinners = flag.Int("spin", 0, "CPU-bound goroutines")
	logRate  = flag.Float64("log", 0, "log lines per second on stderr; 0: none, -1: as many as possible")
	logCount = flag.Int64("count", 0, "write exactly so many log lines, at the rate of -log; 0: no end")
	logKind  = flag.String("logger", "std", "`form` of a log line: std, json or plain")
	gcRate   = flag.Float64("gc", 0, "calls of runtime.GC per second")
	traffic  = flag.Float64("traffic", 0, "HTTP requests per second that the service makes to itself")
	duration = flag.Duration("duration", 0, "how long to run; 0: until told to stop")
	exitCode = flag.Int("exit", 0, "exit `code` at the end")
	badVars  = flag.Bool("badvars", true, "have expvar variables that make /debug/vars invalid JSON")
	styles   = flag.Bool("vars", false, "have expvar variables in the styles of several libraries, moved by /control/work")
	echo     = flag.Bool("echo", false, "copy the lines of stdin to stdout")
)

var (
	started   = time.Now()
	stop      = make(chan int, 1)
	requests  = expvar.NewInt("requests")
	responses = expvar.NewMap("responses")
	load      = expvar.NewFloat("load")
	leaked    int64
)

func main() {
	flag.Parse()
	if flag.NArg() > 0 {
		usage("unexpected argument " + flag.Arg(0))
	}
	if *logCount > 0 && *logRate == 0 {
		usage("-count needs a -log rate")
	}
	logger, ok := loggers[*logKind]
	if !ok {
		usage("unknown -logger " + *logKind)
	}
	out := &logWriter{write: logger}

	signals := make(chan os.Signal, 16)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGUSR1)
	publish()
	if *styles {
		publishStyles()
	}
	routes(out)
	listener, err := net.Listen("tcp", *addr)
	if err != nil {
		fmt.Fprintln(os.Stderr, "service:", err)
		os.Exit(1)
	}
	guarded()
	say([]byte("listening " + listener.Addr().String() + "\n"))
	go func() { log.Fatal(http.Serve(listener, nil)) }()
	behave(out, listener.Addr().String())

	var over <-chan time.Time
	if *duration > 0 {
		over = time.After(time.Until(started.Add(*duration)))
	}
	for {
		select {
		case s := <-signals:
			switch s {
			case syscall.SIGHUP:
				say([]byte("got hangup\n"))
			case syscall.SIGUSR1:
				say(truth(out))
			default:
				end(out, *exitCode)
			}
		case code := <-stop:
			end(out, code)
		case <-over:
			end(out, *exitCode)
		}
	}
}

func usage(problem string) {
	fmt.Fprintln(os.Stderr, "service:", problem)
	flag.Usage()
	os.Exit(2)
}

// end stops the log for good, so that the last truth counts every line. It does not wait forever
// for a line that nobody reads.
func end(out *logWriter, code int) {
	for patience := 200; patience > 0 && !out.mu.TryLock(); patience-- {
		time.Sleep(10 * time.Millisecond)
	}
	stdout.Lock()
	_, _ = os.Stdout.Write(truth(out))
	os.Exit(code)
}

var stdout sync.Mutex

// say makes one write on stdout.
func say(text []byte) {
	stdout.Lock()
	defer stdout.Unlock()
	_, _ = os.Stdout.Write(text)
}

// --- Behaviour ---

func behave(out *logWriter, self string) {
	keep(*liveMiB)
	if *leakRate > 0 {
		go pace(*leakRate, func() { leak(1) })
	}
	if *allocMiB > 0 {
		const perSecond = 100
		go pace(perSecond, func() { allocate(int(*allocMiB * (1 << 20) / perSecond)) })
	}
	if *gcRate > 0 {
		go pace(*gcRate, runtime.GC)
	}
	if *logRate != 0 {
		go writeLog(out)
	}
	if *traffic > 0 {
		go pace(*traffic, func() { visit("http://" + self + "/orders") })
	}
	if *echo {
		go copyLines()
	}
	spin(*spinners)
}

// pace calls f so many times a second, and catches up when it was late.
func pace(rate float64, f func()) {
	begin := time.Now()
	for i := 1; ; i++ {
		due := begin.Add(time.Duration(float64(i) / rate * float64(time.Second)))
		if d := time.Until(due); d > 0 {
			time.Sleep(d)
		}
		f()
	}
}

func leak(n int) {
	for i := 0; i < n; i++ {
		go leakyHandler(make(chan int))
	}
	atomic.AddInt64(&leaked, int64(n))
}

// leakyHandler waits for an answer that nobody will send.
//
//go:noinline
func leakyHandler(answer chan int) {
	<-answer
}

// The runtime cannot prove that nobody will send.
var nothing = make(chan int)

// waitForMutex waits for one that its caller keeps and forgets.
//
//go:noinline
func waitForMutex(mu *sync.Mutex) {
	mu.Lock()
}

//go:noinline
func waitForContext(ctx context.Context) {
	<-ctx.Done()
}

//go:noinline
func waitForGlobal() {
	<-nothing
}

// waitLabelled waits with a profiler label.
//
//go:noinline
func waitLabelled(tenant string) {
	pprof.Do(context.Background(), pprof.Labels("tenant", tenant), func(context.Context) {
		<-nothing
	})
}

func leakMutex(n int) {
	mu := new(sync.Mutex)
	mu.Lock()
	for i := 0; i < n; i++ {
		go waitForMutex(mu)
	}
}

func leakContext(n int) {
	for i := 0; i < n; i++ {
		ctx, cancel := context.WithCancel(context.Background())
		_ = cancel // forgotten
		go waitForContext(ctx)
	}
}

func leakGlobal(n int) {
	for i := 0; i < n; i++ {
		go waitForGlobal()
	}
}

func leakLabelled(n int) {
	for i := 0; i < n; i++ {
		go waitLabelled("tenant-" + strconv.Itoa(i%2))
	}
}

type object struct {
	next    *object
	payload [7]uint64
}

const objectSize = 64

var (
	alive   []*object
	garbage [16]*object
)

func keep(mib int) {
	for i := 0; i < mib<<20/objectSize; i++ {
		alive = append(alive, new(object))
		alive[i].next = alive[i*7919%(i+1)] // to follow, so that marking has work
	}
}

var allocating sync.Mutex

func allocate(size int) {
	allocating.Lock()
	defer allocating.Unlock()
	for i := 0; i < size/objectSize; i++ {
		garbage[i%len(garbage)] = new(object)
	}
}

// spin starts n goroutines that are nearly always runnable: each works for a moment, then yields
// (which goes by the global run queue) and now and then hands a token to its neighbour (which goes
// by a local one).
func spin(n int) {
	ring := make([]chan uint64, n)
	for i := range ring {
		ring[i] = make(chan uint64, 2)
		ring[i] <- uint64(i)
	}
	for i := range ring {
		go spinner(ring[i], ring[(i+1)%n])
	}
}

func spinner(in <-chan uint64, out chan<- uint64) {
	var x uint64
	for i := 0; ; i++ {
		for begin := time.Now(); time.Since(begin) < 100*time.Microsecond; {
			for j := 0; j < 1000; j++ {
				x = x*6364136223846793005 + 1442695040888963407
			}
		}
		if i%4 != 0 {
			runtime.Gosched()
			continue
		}
		out <- x
		x += <-in
	}
}

var client = http.Client{Timeout: 10 * time.Second}

func visit(url string) {
	response, err := client.Get(url)
	if err != nil {
		return
	}
	_, _ = io.Copy(io.Discard, response.Body)
	_ = response.Body.Close()
}

func copyLines() {
	in := bufio.NewReader(os.Stdin)
	for {
		line, err := in.ReadBytes('\n')
		if len(line) > 0 {
			say(line)
		}
		if err != nil {
			return
		}
	}
}

// --- Log lines: one write each, numbered from 1 in the order of the writes ---

type logWriter struct {
	mu    sync.Mutex
	lines int64 // written; atomic, so that /truth answers while a write is stuck
	write func(n int64)
}

func (w *logWriter) line() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.write(atomic.LoadInt64(&w.lines) + 1)
	atomic.AddInt64(&w.lines, 1)
}

func writeLog(out *logWriter) {
	var mine int64
	line := func() {
		out.line()
		mine++
		if mine == *logCount {
			runtime.Goexit()
		}
	}
	if *logRate < 0 {
		for {
			line()
		}
	}
	pace(*logRate, line)
}

var stdLogger = log.New(os.Stderr, "", log.LstdFlags|log.Lmicroseconds)

var loggers = map[string]func(n int64){
	"std": func(n int64) {
		stdLogger.Printf("%s n=%d method=GET path=/orders/%d status=%d took=%dms", message(n), n, n%977, status(n), n*7%90+3)
	},
	"plain": func(n int64) {
		fmt.Fprintf(os.Stderr, "%s n=%d method=GET path=/orders/%d status=%d took=%dms\n", message(n), n, n%977, status(n), n*7%90+3)
	},
	"json": func(n int64) {
		fmt.Fprintf(os.Stderr, `{"time":"%s","level":"info","msg":"%s","n":%d,"method":"GET","path":"/orders/%d","status":%d,"took_ms":%d}`+"\n",
			time.Now().UTC().Format(time.RFC3339Nano), message(n), n, n%977, status(n), n*7%90+3)
	},
}

func message(n int64) string {
	return [...]string{"request served", "order stored", "cache refreshed"}[n%3]
}

func status(n int64) int {
	if n%40 == 0 {
		return http.StatusServiceUnavailable
	}
	return http.StatusOK
}

// --- HTTP ---

func routes(out *logWriter) {
	http.HandleFunc("/orders", func(w http.ResponseWriter, r *http.Request) {
		begin := time.Now()
		requests.Add(1)
		code := status(requests.Value())
		responses.Add(strconv.Itoa(code), 1)
		w.WriteHeader(code)
		fmt.Fprintln(w, "order", requests.Value())
		load.Set(0.9*load.Value() + 0.1*time.Since(begin).Seconds()*1e3)
	})
	http.HandleFunc("/truth", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(truth(out))
	})
	control("gc", "n", func(n int) {
		for i := 0; i < n; i++ {
			runtime.GC()
		}
	})
	control("leak", "n", leak)
	control("leakrate", "n", func(n int) { go pace(float64(n), func() { leak(1) }) })
	control("leakmutex", "n", leakMutex)
	control("leakcontext", "n", leakContext)
	control("leakglobal", "n", leakGlobal)
	control("leaklabelled", "n", leakLabelled)
	control("alloc", "mb", func(mib int) { allocate(mib << 20) })
	control("free", "n", func(n int) {
		for ; n > 0; n-- {
			debug.FreeOSMemory()
		}
	})
	control("log", "n", func(n int) {
		for i := 0; i < n; i++ {
			out.line()
		}
	})
	control("stop", "code", func(code int) {
		select {
		case stop <- code:
		default:
		}
	})
	http.HandleFunc("/control/panic", func(w http.ResponseWriter, r *http.Request) {
		go panic(r.FormValue("text")) // the server would recover a panic of the handler itself
	})
}

// control answers once f is done. The default of the parameter is 1, of an exit code 0.
func control(name, parameter string, f func(int)) {
	http.HandleFunc("/control/"+name, func(w http.ResponseWriter, r *http.Request) {
		value := 1
		if name == "stop" {
			value = 0
		}
		if text := r.FormValue(parameter); text != "" {
			parsed, err := strconv.Atoi(text)
			if err != nil || parsed < 0 {
				http.Error(w, "bad "+parameter, http.StatusBadRequest)
				return
			}
			value = parsed
		}
		fmt.Fprintln(w, "ok")
		if flusher, ok := w.(http.Flusher); ok && name == "stop" {
			flusher.Flush() // the process may be gone before the handler returns
		}
		f(value)
	})
}

func publish() {
	expvar.NewInt("big").Set(1<<53 + 1) // no float64 holds it
	expvar.NewString("version").Set("1.4.2")
	expvar.Publish("goroutines", expvar.Func(func() interface{} { return runtime.NumGoroutine() }))
	expvar.Publish("leaked", expvar.Func(func() interface{} { return atomic.LoadInt64(&leaked) }))
	responses.Add("200", 0)
	responses.Add("503", 0)
	responses.AddFloat("mean_ms", 1.5)
	if *badVars {
		expvar.NewFloat("nan").Set(math.NaN())                     // "nan": NaN
		expvar.NewFloat("inf").Set(math.Inf(1))                    // "inf": +Inf
		expvar.Publish("nothing", expvar.Func(func() interface{} { // "nothing": ,
			return map[string]float64{"ratio": math.NaN()}
		}))
	}
}

// --- What the program itself knows ---

type knowledge struct {
	GoVersion    string
	Pid          int
	UptimeMs     int64
	GOMAXPROCS   int
	NumCPU       int
	NumGoroutine int
	LinesLogged  int64
	Leaked       int64
	Requests     int64
	MemStats     runtime.MemStats
	Metrics      map[string]interface{} // of runtime/metrics: number, or buckets
}

type buckets struct {
	Counts  []uint64
	Buckets []interface{} // numbers, or "-Inf" and "+Inf"
}

// truth is one line of JSON.
func truth(out *logWriter) []byte {
	known := knowledge{
		GoVersion:    runtime.Version(),
		Pid:          os.Getpid(),
		UptimeMs:     time.Since(started).Milliseconds(),
		GOMAXPROCS:   runtime.GOMAXPROCS(0),
		NumCPU:       runtime.NumCPU(),
		NumGoroutine: runtime.NumGoroutine(),
		LinesLogged:  atomic.LoadInt64(&out.lines),
		Leaked:       atomic.LoadInt64(&leaked),
		Requests:     requests.Value(),
		Metrics:      readMetrics(),
	}
	runtime.ReadMemStats(&known.MemStats)
	line, err := json.Marshal(&known)
	if err != nil {
		line, _ = json.Marshal(map[string]string{"error": err.Error()})
	}
	return append(line, '\n')
}

func readMetrics() map[string]interface{} {
	var samples []metrics.Sample
	for _, d := range metrics.All() {
		samples = append(samples, metrics.Sample{Name: d.Name})
	}
	metrics.Read(samples)
	values := make(map[string]interface{}, len(samples))
	for _, s := range samples {
		switch s.Value.Kind() {
		case metrics.KindUint64:
			values[s.Name] = s.Value.Uint64()
		case metrics.KindFloat64:
			values[s.Name] = number(s.Value.Float64())
		case metrics.KindFloat64Histogram:
			h := s.Value.Float64Histogram()
			b := buckets{Counts: h.Counts}
			for _, bound := range h.Buckets {
				b.Buckets = append(b.Buckets, number(bound))
			}
			values[s.Name] = b
		}
	}
	return values
}

// number is f, or its name where JSON has no number for it.
func number(f float64) interface{} {
	if math.IsInf(f, 0) || math.IsNaN(f) {
		return strconv.FormatFloat(f, 'g', -1, 64) // NaN, +Inf, -Inf
	}
	return f
}
