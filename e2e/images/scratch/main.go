// Scratch is an app for an image that has nothing but it and dockreg: it says hello, and
// dies when it is asked to. START_DELAY, in seconds, makes it take its time to start.
package main

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"
)

func main() {
	if delay, err := strconv.Atoi(os.Getenv("START_DELAY")); err == nil {
		time.Sleep(time.Duration(delay) * time.Second)
	}
	http.HandleFunc("/crash", func(http.ResponseWriter, *http.Request) { os.Exit(3) })
	http.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprintln(w, "Hello from scratch") })
	server := &http.Server{Addr: ":8000", ReadHeaderTimeout: time.Second}
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, syscall.SIGTERM)
	go func() {
		<-asked
		fmt.Println("the app stops")
		_ = server.Close()
	}()
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		fmt.Fprintln(os.Stderr, "scratch:", err)
		os.Exit(1)
	}
}
