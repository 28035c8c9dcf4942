// Go: goroutines of one processor that yield to each other, and ones that are started and waited for one by one.
package main

import (
	"fmt"
	"runtime"
	"sync"
	"syscall"
	"unsafe"
)

const (
	switches = 4000000
	spawns   = 1000000
)

func processorNanos() float64 {
	const processCPU = 2
	var time syscall.Timespec
	syscall.Syscall(syscall.SYS_CLOCK_GETTIME, processCPU, uintptr(unsafe.Pointer(&time)), 0)
	return float64(time.Nano())
}

func yields(count int) {
	for ; count > 0; count-- {
		runtime.Gosched()
	}
}

func switching() {
	var group sync.WaitGroup
	group.Add(1)
	go func() {
		yields(switches / 2)
		group.Done()
	}()
	yields(switches / 2)
	group.Wait()
}

func spawning() {
	var group sync.WaitGroup
	for left := spawns; left > 0; left-- {
		group.Add(1)
		go group.Done()
		group.Wait()
	}
}

func main() {
	runtime.GOMAXPROCS(1)
	switching()
	begun := processorNanos()
	switching()
	fmt.Printf("switch %.3f\n", (processorNanos()-begun)/switches)
	spawning()
	begun = processorNanos()
	spawning()
	fmt.Printf("spawn %.3f\n", (processorNanos()-begun)/spawns)
}
