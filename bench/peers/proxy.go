// Go, on one processor, as a proxy.
package main

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"runtime"
	"syscall"
)

func carry(to, from *net.TCPConn, done chan<- struct{}) {
	io.Copy(to, from)
	to.CloseWrite()
	done <- struct{}{}
}

func pass(client *net.TCPConn, upstream *net.TCPAddr) {
	defer client.Close()
	server, err := net.DialTCP("tcp", nil, upstream)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return
	}
	defer server.Close()
	done := make(chan struct{}, 2)
	go carry(client, server, done)
	carry(server, client, done)
	<-done
	<-done
}

func serve(upstream, address string) error {
	to, err := net.ResolveTCPAddr("tcp", upstream)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	fmt.Println("listening on", listener.Addr())
	for {
		connection, err := listener.Accept()
		if err != nil {
			return err
		}
		go pass(connection.(*net.TCPConn), to)
	}
}

func endOnSigterm() {
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, syscall.SIGTERM)
	<-asked
	os.Exit(0)
}

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: UPSTREAM HOST:PORT")
		os.Exit(2)
	}
	runtime.GOMAXPROCS(1)
	go endOnSigterm()
	fmt.Fprintln(os.Stderr, serve(os.Args[1], os.Args[2]))
	os.Exit(1)
}
