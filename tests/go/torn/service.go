package main

import (
	"fmt"
	"log"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"time"
)

// Every log line has this word, or is one of the imitations: so the recorder knows it.
const mark = "order"

// Lines that look like pieces of a trace.
var imitations = []string{
	"[0 1 2] ms clock\n",
	"gc 5 @\n",
	"SCHED \n",
	"SCHED is late\n",
	"gc is late\n",
	" idleprocs=9\n",
	"+0.5 ms\n",
	"ms: gomaxprocs=\n",
	"  G7: is late\n",
	"  P\n",
	"SCHED 10ms: gomaxprocs=2 idleprocs=\n",
	"gc 12 @0.5s 3%: 0.1+\n",
}

// A logger writes line n.
type loggerFunc func(n int64)

func stderr(format string, values ...interface{}) {
	_, _ = fmt.Fprintf(os.Stderr, format, values...)
}

var (
	stdLogger   = log.New(os.Stderr, "", log.LstdFlags)
	microLogger = log.New(os.Stderr, "", log.LstdFlags|log.Lmicroseconds)
)

func message(n int64) string {
	return [...]string{"order served", "order stored", "order refreshed"}[n%3]
}

func std(n int64) { stdLogger.Printf("INFO %s id=%d", message(n), n) }

func micro(n int64) { microLogger.Printf("%s n=%d", message(n), n) }

// As zap's production encoder writes it.
func zap(n int64) {
	stderr(`{"level":"info","ts":%.7f,"caller":"app/main.go:%d","msg":"%s","id":%d}`+"\n",
		float64(time.Now().UnixMicro())/1e6, n%90+10, message(n), n)
}

func logfmt(n int64) {
	stderr("time=%s level=info msg=%q id=%d\n", time.Now().UTC().Format(time.RFC3339Nano), message(n), n)
}

func klog(n int64) {
	severity := "IIIIWE"[n%6]
	stderr("%c%s %7d main.go:%d] %s %d\n", severity, time.Now().Format("0102 15:04:05.000000"), os.Getpid(), n%900+10, message(n), n)
}

func epoch(n int64) {
	now := time.Now()
	stderr("%d.%03d INFO %s id=%d\n", now.Unix(), now.Nanosecond()/1e6, message(n), n)
}

func words(n int64) { stderr("%s for customer %d\n", message(n), n) }

func imitate(n int64) {
	if n%4 == 0 {
		_, _ = os.Stderr.WriteString(imitations[n/4%int64(len(imitations))])
		return
	}
	std(n)
}

// Lines longer than PIPE_BUF (4096) among shorter ones: the kernel may cut them.
func long(n int64) {
	if n%8 != 0 {
		slogJSON(n)
		return
	}
	filler := strings.Repeat(mark+" ", 700+int(n*37%900))
	stderr(`{"time":"%s","level":"INFO","msg":"%s","id":%d,"body":"%s"}`+"\n",
		time.Now().UTC().Format(time.RFC3339Nano), message(n), n, filler)
}

type kind struct {
	goroutines int
	lines      []loggerFunc
}

var kinds = map[string]kind{
	"std":       {1, []loggerFunc{std}},
	"slog":      {1, []loggerFunc{slogJSON}},
	"zap":       {1, []loggerFunc{zap}},
	"logfmt":    {1, []loggerFunc{logfmt}},
	"klog":      {1, []loggerFunc{klog}},
	"epoch":     {1, []loggerFunc{epoch}},
	"words":     {1, []loggerFunc{words}},
	"imitation": {1, []loggerFunc{imitate}},
	"long":      {2, []loggerFunc{long}},
	"several":   {8, []loggerFunc{micro}},
	"mixed":     {6, []loggerFunc{std, slogJSON, klog}},
}

var lines int64

func serve() {
	debug.SetGCPercent(20)
	for i := 0; i < 12; i++ {
		go wait(i)
	}
	go allocate()
	how, ok := kinds[*logger]
	if !ok {
		log.Fatal("unknown logger ", *logger)
	}
	for i := 0; i < how.goroutines; i++ {
		go write(how.lines[i%len(how.lines)], how.goroutines)
	}
	time.Sleep(*length)
	fmt.Println(atomic.LoadInt64(&lines))
	os.Exit(0)
}

// write begins with some lines before the rush.
func write(line loggerFunc, goroutines int) {
	for i := 0; i < 30; i++ {
		line(atomic.AddInt64(&lines, 1))
		time.Sleep(time.Millisecond)
	}
	begin, perSecond := time.Now(), float64(*rate)/float64(goroutines)
	for i := 1; ; i++ {
		if *rate > 0 {
			due := begin.Add(time.Duration(float64(i) / perSecond * float64(time.Second)))
			if d := time.Until(due); d > 0 {
				time.Sleep(d)
			}
		}
		line(atomic.AddInt64(&lines, 1))
	}
}

// wait gives blocks goroutines in several states.
func wait(i int) {
	switch i % 3 {
	case 0:
		select {}
	case 1:
		<-make(chan int)
	default:
		for {
			time.Sleep(time.Duration(i) * time.Millisecond)
		}
	}
}

var garbage [64][]byte

func allocate() {
	for i := 0; ; i++ {
		for j := 0; j < 64; j++ {
			garbage[j] = make([]byte, 4096)
		}
		if i%100 == 99 {
			runtime.GC()
		}
		time.Sleep(500 * time.Microsecond)
	}
}
