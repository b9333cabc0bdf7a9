// go-daemon: the program starts itself again, and the copy is the daemon.
package main

import (
	"fmt"
	"io"
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
	// The parent writes to the copy's standard input once more when the library has let go of that, and fails when it
	// loses the race (https://github.com/sevlyar/go-daemon/issues/86). A duplicate, read to its end, keeps every start alike.
	var input *os.File
	if daemon.WasReborn() {
		if duplicate, err := syscall.Dup(0); err == nil {
			input = os.NewFile(uintptr(duplicate), "input")
		}
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
	if input != nil {
		io.Copy(io.Discard, input)
		input.Close()
	}
	terminated := make(chan os.Signal, 1)
	signal.Notify(terminated, syscall.SIGTERM)
	<-terminated
}
