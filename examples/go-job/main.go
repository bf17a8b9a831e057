// Primes counts the prime numbers up to a limit: a job in Go. It speaks the protocol between a job's
// pod and the service (docs/job-protocol.md), so it has progress, log levels and an error of its own.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"
	"unsafe"
)

// Exit codes that the service gives a meaning to.
const (
	exitFailed   = 1
	exitDeferred = 75
	exitKilled   = 143
)

// terminationLog is where Kubernetes takes the reason of the end from.
const terminationLog = "/dev/termination-log"

// job is what the service says of the job; it says more, which nobody needs here.
type job struct {
	Trial int `json:"trial"`
	Args  struct {
		Limit int     `json:"limit"`
		Defer bool    `json:"defer"`
		Sleep float64 `json:"sleep"`
	} `json:"args"`
}

// event is one line of the protocol.
type event struct {
	Core4   int      `json:"core4"`
	N       int      `json:"n"`
	Type    string   `json:"type"`
	Time    float64  `json:"time"`
	Level   string   `json:"level,omitempty"`
	Message string   `json:"message,omitempty"`
	Value   *float64 `json:"value,omitempty"`
	Name    string   `json:"name,omitempty"`
	State   string   `json:"state,omitempty"`
}

// lines counts the lines that were written: each carries its number.
var lines int

func write(line event) {
	lines++
	line.Core4, line.N = 1, lines
	line.Time = float64(time.Now().UnixMicro()) / 1e6
	text, err := json.Marshal(line)
	if err != nil {
		panic(err)
	}
	fmt.Println(string(text))
}

func log(level, format string, values ...any) {
	write(event{Type: "log", Level: level, Message: fmt.Sprintf(format, values...)})
}

func progress(value float64, message string) {
	write(event{Type: "progress", Value: &value, Message: message})
}

// drain waits until all lines are read, for at most five seconds, and a little longer: the container
// runtime may drop what it has not read when the container ends, and it reads from a second pipe,
// which is not visible here.
func drain() {
	defer time.Sleep(50 * time.Millisecond)
	for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline); {
		var unread int32
		// TIOCINQ is FIONREAD by its other name. It fails where the output is no pipe.
		_, _, failed := syscall.Syscall(
			syscall.SYS_IOCTL, os.Stdout.Fd(), syscall.TIOCINQ, uintptr(unsafe.Pointer(&unread)),
		)
		if failed != 0 || unread == 0 {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// end says how the trial ended, by its last line, its termination message and its exit code.
func end(code int, state, reason string) {
	write(event{Type: "done", State: state})
	// With the number of the last line, the service can tell if it is missing.
	outcome := map[string]any{"state": state, "lines": lines}
	if reason != "" {
		now := time.Now().UTC().Format("2006-01-02T15:04:05.000000")
		outcome["lastError"] = map[string]any{
			"exception": reason, "timestamp": now, "traceback": nil,
		}
	}
	if text, err := json.Marshal(outcome); err == nil {
		// Where there is no such file, this is no pod.
		_ = os.WriteFile(terminationLog, text, 0o644)
	}
	drain()
	os.Exit(code)
}

func read() (job, error) {
	var found job
	text := []byte(os.Getenv("CORE4_JOB"))
	if path := os.Getenv("CORE4_JOB_FILE"); path != "" {
		var err error
		if text, err = os.ReadFile(path); err != nil {
			return found, err
		}
	}
	return found, json.Unmarshal(text, &found)
}

// count finds the primes up to the limit; it says how far it is ten times.
func count(limit int) int {
	composite := make([]bool, limit+1)
	primes := 0
	for n := 2; n <= limit; n++ {
		if !composite[n] {
			primes++
			for multiple := n * n; multiple <= limit; multiple += n {
				composite[multiple] = true
			}
		}
		if limit >= 10 && n%(limit/10) == 0 {
			progress(float64(n)/float64(limit), fmt.Sprintf("%d primes up to %d", primes, n))
		}
	}
	return primes
}

func main() {
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM)

	told, err := read()
	if err != nil {
		log("CRITICAL", "can't read the job: %v", err)
		end(exitFailed, "failed", err.Error())
	}
	args := told.Args
	log("DEBUG", "trial %d", told.Trial)
	if args.Limit < 2 {
		log("ERROR", "there is no prime number up to %d", args.Limit)
		end(exitFailed, "failed", fmt.Sprintf("limit is %d, expected 2 or more", args.Limit))
	}
	if args.Defer && told.Trial == 1 {
		end(exitDeferred, "deferred", "not in the first trial")
	}
	write(event{Type: "source", Name: "natural numbers"})
	log("INFO", "%d primes up to %d", count(args.Limit), args.Limit)

	select {
	case <-time.After(time.Duration(args.Sleep * float64(time.Second))):
		end(0, "complete", "")
	case <-stop:
		log("WARNING", "told to stop")
		end(exitKilled, "killed", "JobKilledByWorker")
	}
}
