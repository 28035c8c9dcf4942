// Go, on one processor: the echo of net and the hello of net/http.
package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"runtime"
	"syscall"
)

const readSize = 16 * 1024

func serve(connection net.Conn) {
	defer connection.Close()
	buffer := make([]byte, readSize)
	for {
		size, err := connection.Read(buffer)
		if err != nil {
			return
		}
		if _, err := connection.Write(buffer[:size]); err != nil {
			return
		}
	}
}

func echo(listener net.Listener) error {
	for {
		connection, err := listener.Accept()
		if err != nil {
			return err
		}
		go serve(connection)
	}
}

func hello(response http.ResponseWriter, _ *http.Request) {
	response.Header().Set("Content-Type", "text/plain")
	io.WriteString(response, "Hello, world\n")
}

func endOnSigterm() {
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, syscall.SIGTERM)
	<-asked
	os.Exit(0)
}

func main() {
	if len(os.Args) != 3 || (os.Args[1] != "echo" && os.Args[1] != "http") {
		fmt.Fprintln(os.Stderr, "usage: echo|http HOST:PORT")
		os.Exit(2)
	}
	runtime.GOMAXPROCS(1)
	go endOnSigterm()
	listener, err := net.Listen("tcp", os.Args[2])
	if err == nil {
		fmt.Println("listening on", listener.Addr())
		if os.Args[1] == "echo" {
			err = echo(listener)
		} else {
			err = http.Serve(listener, http.HandlerFunc(hello))
		}
	}
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}
