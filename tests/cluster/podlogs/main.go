// Podlogs serves the logs of simulated pods, as a kubelet does: kwok's own server never ends a log
// that is followed, since it doesn't know when a container has ended.
package main

import (
	"flag"
	"fmt"
	"log"
	"net/http"
	"sync"
	"time"
)

// The lines of a job that ends at once; the time of each is a Unix time in seconds.
var lines = []string{
	`{"core4": 1, "n": 1, "type": "log", "time": %.6f, "level": "INFO", "message": "start execution"}`,
	`{"core4": 1, "n": 2, "type": "progress", "time": %.6f, "value": 1.0, "message": "simulated"}`,
	`{"core4": 1, "n": 3, "type": "log", "time": %.6f, "level": "DEBUG", "message": "progress [100%%] - simulated"}`,
	`{"core4": 1, "n": 4, "type": "log", "time": %.6f, "level": "INFO", "message": "done execution with [complete] after [0] sec."}`,
	`{"core4": 1, "n": 5, "type": "done", "time": %.6f, "state": "complete", "lastError": null}`,
}

// server answers requests for logs. A request that follows ends after hold, when the container of a
// pod that completes at once has ended.
type server struct {
	hold    time.Duration
	mutex   sync.Mutex
	started map[string]time.Time
}

func (s *server) ServeHTTP(response http.ResponseWriter, request *http.Request) {
	query := request.URL.Query()
	since, _ := time.Parse(time.RFC3339Nano, query.Get("sinceTime"))
	at := s.start(request.URL.Path)
	for number, text := range lines {
		// One kubelet never gives two lines of a container the same time.
		written := at.Add(time.Duration(number) * time.Microsecond)
		if written.Before(since) {
			continue
		}
		if query.Get("timestamps") == "true" {
			fmt.Fprintf(response, "%s ", written.Format(time.RFC3339Nano))
		}
		fmt.Fprintf(response, text+"\n", float64(written.UnixMicro())/1e6)
	}
	if query.Get("follow") != "true" {
		return
	}
	response.(http.Flusher).Flush()
	select {
	case <-time.After(s.hold):
	case <-request.Context().Done():
	}
}

// start returns the time at which a log was read first: a second request must give the same lines.
func (s *server) start(path string) time.Time {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	at, found := s.started[path]
	if !found {
		at = time.Now().UTC()
		s.started[path] = at
	}
	return at
}

func main() {
	certificate := flag.String("cert", "", "certificate of the server")
	key := flag.String("key", "", "its private key")
	short := flag.String("short", "", "address that ends a followed log after a moment")
	long := flag.String("long", "", "address that doesn't end a followed log")
	flag.Parse()
	serve := func(address string, hold time.Duration) {
		handler := http.NewServeMux()
		handler.Handle("GET /containerLogs/", &server{hold: hold, started: map[string]time.Time{}})
		handler.HandleFunc("GET /healthz", func(http.ResponseWriter, *http.Request) {})
		log.Fatal(http.ListenAndServeTLS(address, *certificate, *key, handler))
	}
	go serve(*long, 24*time.Hour)
	serve(*short, 300*time.Millisecond)
}
