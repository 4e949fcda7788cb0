package main

import (
	"encoding/json"
	"expvar"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// The variables of -vars: as services publish them that use one library or another, all of them moved by
// /control/work.

var worked int64

func publishStyles() {
	publishTailscale()
	publishGoMetrics()
	publishOwn()
	control("work", "n", func(n int) {
		for ; n > 0; n-- {
			work()
		}
	})
}

// --- As tailscale.com/metrics and tsweb publish them ---

var (
	responsesIn = new(expvar.Map).Init()
	derp        = new(expvar.Map).Init()
	latency     = &cumulative{bounds: []float64{0.005, 0.05, 0.5}}
)

// cumulative prints itself as metrics.Histogram does.
type cumulative struct {
	bounds []float64
	counts [3]expvar.Int
	sum    expvar.Float
	count  expvar.Int
}

func (h *cumulative) observe(v float64) {
	h.sum.Add(v)
	h.count.Add(1)
	for i, bound := range h.bounds {
		if v <= bound {
			h.counts[i].Add(1)
		}
	}
}

func (h *cumulative) String() string {
	var b strings.Builder
	b.WriteString("{")
	for i, bound := range h.bounds {
		fmt.Fprintf(&b, "%q: %v,", fmt.Sprint(bound), &h.counts[i])
	}
	fmt.Fprintf(&b, "\"+Inf\": %v,\"sum\": %v,\"count\": %v}", &h.count, &h.sum, &h.count)
	return b.String()
}

func publishTailscale() {
	expvar.Publish("counter_uptime_sec", expvar.Func(func() interface{} { return int64(time.Since(started).Seconds()) }))
	expvar.Publish("gauge_goroutines", expvar.Get("goroutines"))
	expvar.Publish("counter_labelmap_code_http_in", responsesIn)
	expvar.Publish("histogram_latency_seconds", latency)
	derp.Set("gauge_clients", new(expvar.Int))
	derp.Add("counter_packets", 0)
	expvar.Publish("derp", derp)
	expvar.NewString("multi").Set("MultiLabelMap")
}

// --- As github.com/rcrowley/go-metrics/exp publishes a timer and a meter, flat and structured ---

var (
	timerCount = expvar.NewInt("db.query.count")
	meterCount = expvar.NewInt("db.bytes.count")
	structured = new(expvar.Map).Init()
)

func publishGoMetrics() {
	for key, ns := range map[string]float64{"min": 1e6, "max": 9e6, "mean": 3e6, "std-dev": 5e5, "50-percentile": 25e5, "95-percentile": 8e6, "999-percentile": 9e6} {
		expvar.NewFloat("db.query." + key).Set(ns)
	}
	for _, key := range []string{"one-minute", "five-minute", "fifteen-minute", "mean"} {
		expvar.NewFloat("db.bytes." + key).Set(12.5)
	}
	structured.Add("count", 0)
	structured.AddFloat("95-percentile", 8e6)
	expvar.Publish("cache", structured)
	expvar.Publish("runtime.NumGoroutine", expvar.Get("goroutines"))
}

// --- What people write themselves ---

var (
	users  = expvar.NewMap("users")
	codes  = expvar.NewMap("http.codes")
	sizes  [4]int64
	shards [3]int64
)

func publishOwn() {
	expvar.Publish("work", expvar.Func(func() interface{} { return atomic.LoadInt64(&worked) }))
	expvar.Publish("queued", expvar.Func(func() interface{} { return atomic.LoadInt64(&worked) % 3 }))
	expvar.Publish("sizes", expvar.Func(func() interface{} { return loaded(sizes[:]) }))
	expvar.Publish("shards", expvar.Func(func() interface{} { return loaded(shards[:]) }))
	expvar.Publish("timeout", expvar.Func(func() interface{} { return 1500 * time.Millisecond }))
	expvar.Publish("period", expvar.Func(func() interface{} { return (90 * time.Second).String() }))
	expvar.Publish("limit", expvar.Func(func() interface{} { return "12" }))
	expvar.Publish("ready", expvar.Func(func() interface{} { return true }))
	expvar.Publish("nested", expvar.Func(func() interface{} {
		return json.RawMessage(`{"a": {"b": {"c": {"d": 1}}}}`)
	}))
}

func loaded(from []int64) []int64 {
	out := make([]int64, len(from))
	for i := range from {
		out[i] = atomic.LoadInt64(&from[i])
	}
	return out
}

func work() {
	n := atomic.AddInt64(&worked, 1)
	codes.Add(strconv.Itoa(200+int(n%2)*303), 1)
	responsesIn.Add(strconv.Itoa(200+int(n%2)*303), 1)
	users.Add("user"+strconv.FormatInt(n, 10), n)
	derp.Add("counter_packets", 2)
	latency.observe(float64(n%3) * 0.1)
	timerCount.Add(1)
	meterCount.Add(100)
	structured.Add("count", 3)
	atomic.AddInt64(&sizes[n%4], 1)
	atomic.AddInt64(&shards[n%3], 1)
}
