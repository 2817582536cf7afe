package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
)

// leash runs one other program that must not outlive whoever started this one:
//
//	supervisor leash --log FILE PROGRAM [ARGUMENT...]
//
// It prints {"pid":N} when the program runs and {"exit":N} when it has ended,
// N being -1 after a signal. The program and what it started in its process
// group are killed when standard input ends, and on SIGTERM and SIGINT.
func leash(arguments []string) error {
	flags := flag.NewFlagSet("leash", flag.ContinueOnError)
	logFile := flags.String("log", "", "file to which the program's output is appended")
	if err := flags.Parse(arguments); err != nil {
		return err
	}
	if *logFile == "" || flags.NArg() == 0 {
		return errors.New("usage: supervisor leash --log FILE PROGRAM [ARGUMENT...]")
	}
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer cancel()
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		cancel()
	}()

	log, err := os.OpenFile(*logFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(flags.Arg(0), flags.Args()[1:]...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	if err := newSpawner().start(cmd); err != nil {
		return fmt.Errorf("starting %s: %w", flags.Arg(0), err)
	}
	printJSON(map[string]int{"pid": cmd.Process.Pid})

	exited := make(chan struct{})
	go func() {
		_ = cmd.Wait()
		close(exited)
	}()
	select {
	case <-ctx.Done():
	case <-exited:
	}
	// Also after its end: what it started may still be there.
	_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	<-exited
	printJSON(map[string]int{"exit": cmd.ProcessState.ExitCode()})
	return nil
}

func printJSON(value map[string]int) {
	if line, err := json.Marshal(value); err == nil {
		fmt.Println(string(line))
	}
}
