// kubelet serves the logs of containers as a kubelet does, by the code that kubelets have for it
// (k8s.io/cri-client/pkg/logs), from folders as they keep them.
//
//	kubelet -containers DIR
//
// Prints its address. DIR/CONTAINER/0.log, 1.log, …: one file a start. A container runs unless there is
// DIR/CONTAINER/stopped; it is still to start while there is no log. What is not a log itself is as in
// k8s.io/kubernetes/pkg/kubelet/kubelet_pods.go, validateContainerLogStatus, and pkg/registry/core/pod.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	internalapi "k8s.io/cri-api/pkg/apis"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
	"k8s.io/cri-client/pkg/logs"
	"k8s.io/klog/v2"
)

var containers = flag.String("containers", "", "where the folders of containers are")

func main() {
	flag.Parse()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(listener.Addr())
	http.HandleFunc("GET /api/v1/namespaces/{namespace}/pods/{pod}/log", serve)
	fmt.Fprintln(os.Stderr, http.Serve(listener, nil))
	os.Exit(1)
}

func refuse(w http.ResponseWriter, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusBadRequest)
	json.NewEncoder(w).Encode(metav1.Status{Status: "Failure", Message: message, Reason: "BadRequest", Code: http.StatusBadRequest})
}

func serve(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	options := v1.PodLogOptions{Follow: query.Get("follow") == "true", Timestamps: query.Get("timestamps") == "true"}
	if text := query.Get("sinceTime"); text != "" {
		since, err := time.Parse(time.RFC3339, text)
		if err != nil {
			refuse(w, err.Error())
			return
		}
		options.SinceTime = &metav1.Time{Time: since}
	}
	name, pod := query.Get("container"), r.PathValue("pod")
	folder := filepath.Join(*containers, name)
	if _, err := os.Stat(folder); err != nil {
		// As the API server says it, which knows the pod.
		refuse(w, fmt.Sprintf("container %s is not valid for pod %s", name, pod))
		return
	}
	starts, path := newest(folder)
	switch {
	case query.Get("previous") == "true" && starts == 0:
		refuse(w, fmt.Sprintf("previous terminated container %q in pod %q not found", name, pod))
		return
	case query.Get("previous") == "true":
		path = log(folder, starts-1)
	case path == "":
		refuse(w, fmt.Sprintf("container %q in pod %q is waiting to start: PodInitializing", name, pod))
		return
	}
	w.Header().Set("Content-Type", "text/plain")
	w.WriteHeader(http.StatusOK)
	w.(http.Flusher).Flush()
	out := &flushed{w}
	logger := klog.Background()
	if err := logs.ReadLogs(r.Context(), &logger, path, path, logs.NewLogOptions(&options, time.Now()), status{}, out, out); err != nil {
		fmt.Fprintf(out, "%v\n", err)
	}
}

func log(folder string, start int) string { return filepath.Join(folder, fmt.Sprintf("%d.log", start)) }

// newest gives how often the container was started again, and the log of its last start.
func newest(folder string) (starts int, path string) {
	files, _ := filepath.Glob(filepath.Join(folder, "*.log*"))
	for _, file := range files {
		var start int
		// A rotated one too: while the kubelet rotates there may be no other.
		if _, err := fmt.Sscanf(filepath.Base(file), "%d.log", &start); err == nil && start >= starts {
			starts, path = start, log(folder, start)
		}
	}
	return starts, path
}

// flushed sends each line at once, as kubelets do (k8s.io/kubernetes/pkg/kubelet/server, getContainerLogs).
type flushed struct{ http.ResponseWriter }

func (f *flushed) Write(line []byte) (int, error) {
	n, err := f.ResponseWriter.Write(line)
	f.ResponseWriter.(http.Flusher).Flush()
	return n, err
}

// status says which containers run: a log is followed as long as its container does.
type status struct{ internalapi.RuntimeService }

func (status) ContainerStatus(_ context.Context, id string, _ bool) (*runtimeapi.ContainerStatusResponse, error) {
	state := runtimeapi.ContainerState_CONTAINER_RUNNING
	folder := filepath.Dir(id)
	var start int
	fmt.Sscanf(filepath.Base(id), "%d.log", &start)
	_, stopped := os.Stat(filepath.Join(folder, "stopped"))
	if _, later := os.Stat(log(folder, start+1)); stopped == nil || later == nil {
		state = runtimeapi.ContainerState_CONTAINER_EXITED
	}
	return &runtimeapi.ContainerStatusResponse{Status: &runtimeapi.ContainerStatus{State: state}}, nil
}
