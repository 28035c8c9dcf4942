// Go: timers, two goroutines that pass a message to and fro, and a goroutine that another thread wakes.
package main

import (
	"fmt"
	"io"
	"os"
	"runtime"
	"sort"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"
)

const (
	timers     = 1000000
	messages   = 1000000
	bytes      = 300000
	room       = 64
	wakes      = 3000
	timerFirst = 100 * time.Millisecond
	timerStep  = 400 * time.Nanosecond
	nap        = 100 * time.Microsecond
)

func processorNanos() float64 {
	const processCPU = 2
	var time syscall.Timespec
	syscall.Syscall(syscall.SYS_CLOCK_GETTIME, processCPU, uintptr(unsafe.Pointer(&time)), 0)
	return float64(time.Nano())
}

// measure runs everything twice, as the first round warms up.
func measure(what string, count int, run func()) {
	run()
	begun := processorNanos()
	run()
	fmt.Printf("%s %.3f\n", what, (processorNanos()-begun)/float64(count))
}

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

func expiring() {
	var expired atomic.Int64
	done := make(chan struct{})
	for i := 0; i < timers; i++ {
		time.AfterFunc(timerFirst+time.Duration(i)*timerStep, func() {
			if expired.Add(1) == timers {
				close(done)
			}
		})
	}
	<-done
}

func cancelling() {
	for i := 0; i < timers; i++ {
		time.AfterFunc(timerFirst, func() {}).Stop()
	}
}

func channels() {
	there, back := make(chan int), make(chan int)
	go func() {
		for number := range there {
			back <- number
		}
	}()
	for i := 0; i < messages/2; i++ {
		there <- i
		<-back
	}
	close(there)
}

func descriptors(here, yonder io.ReadWriter) {
	done := make(chan struct{})
	go func() {
		buffer := make([]byte, room)
		for i := 0; i < bytes/2; i++ {
			must(yonder.Read(buffer))
			must(yonder.Write(buffer[:1]))
		}
		close(done)
	}()
	buffer := make([]byte, room)
	for i := 0; i < bytes/2; i++ {
		must(here.Write(buffer[:1]))
		must(here.Read(buffer))
	}
	<-done
}

type ends struct {
	io.Reader
	io.Writer
}

func socketpair() (io.ReadWriter, io.ReadWriter) {
	fds := must(syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_NONBLOCK, 0))
	return os.NewFile(uintptr(fds[0]), "one"), os.NewFile(uintptr(fds[1]), "other")
}

func pipes() (io.ReadWriter, io.ReadWriter) {
	fromHere, toYonder, err := os.Pipe()
	must(fromHere, err)
	fromYonder, toHere, err := os.Pipe()
	must(fromYonder, err)
	return ends{fromYonder, toYonder}, ends{fromHere, toHere}
}

// A nap of the thread is longer than a wake-up takes, so no two of them meet.
func wakeUps() {
	var posted time.Time
	posts := make(chan struct{})
	go func() {
		runtime.LockOSThread()
		for i := 0; i < wakes; i++ {
			length := syscall.NsecToTimespec(int64(nap))
			syscall.Nanosleep(&length, nil)
			posted = time.Now()
			posts <- struct{}{}
		}
	}()
	latencies := make([]float64, wakes)
	begun := processorNanos()
	for i := range latencies {
		<-posts
		latencies[i] = float64(time.Since(posted).Nanoseconds())
	}
	fmt.Printf("wake_cpu %.3f\n", (processorNanos()-begun)/wakes)
	sort.Float64s(latencies)
	fmt.Printf("wake %.3f\n", latencies[wakes/2])
}

func main() {
	runtime.GOMAXPROCS(1)
	measure("expire", timers, expiring)
	measure("cancel", timers, cancelling)
	measure("channel", messages, channels)
	here, yonder := socketpair()
	measure("socketpair", bytes, func() { descriptors(here, yonder) })
	here, yonder = pipes()
	measure("pipe", bytes, func() { descriptors(here, yonder) })
	// A thread of its own has to wake the other one.
	runtime.GOMAXPROCS(2)
	wakeUps()
}
