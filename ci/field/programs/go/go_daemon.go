// go-daemon: the program starts itself again, and the copy is the daemon.
package main

import (
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/sevlyar/go-daemon"
)

func main() {
	dir := os.Args[1]
	context := &daemon.Context{
		PidFileName: filepath.Join(dir, "d.pid"),
		PidFilePerm: 0644,
		LogFileName: filepath.Join(dir, "d.log"),
		LogFilePerm: 0640,
		WorkDir:     "/",
		Umask:       027,
	}
	child, err := context.Reborn()
	if err != nil {
		fmt.Fprintln(os.Stderr, "go_daemon:", err)
		os.Exit(1)
	}
	if child != nil {
		return
	}
	defer context.Release()
	terminated := make(chan os.Signal, 1)
	signal.Notify(terminated, syscall.SIGTERM)
	<-terminated
}
