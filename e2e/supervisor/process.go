package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"time"
)

// spawner starts processes from one thread that lives as long as the program.
//
// The kernel sends a child's parent-death signal when the *thread* that forked
// it ends, not the process. Go ends threads as it likes, so the forks must come
// from a goroutine that is locked to its thread and never returns.
type spawner struct {
	requests chan spawnRequest
}

type spawnRequest struct {
	cmd  *exec.Cmd
	done chan error
}

func newSpawner() *spawner {
	s := &spawner{requests: make(chan spawnRequest)}
	go func() {
		runtime.LockOSThread()
		for r := range s.requests {
			r.done <- r.cmd.Start()
		}
	}()
	return s
}

func (s *spawner) start(cmd *exec.Cmd) error {
	r := spawnRequest{cmd, make(chan error, 1)}
	s.requests <- r
	return <-r.done
}

// component is one of the processes of the control plane.
type component struct {
	name    string
	program string
	args    []string
	logFile string
	spawner *spawner

	mu     sync.Mutex
	cmd    *exec.Cmd
	exited chan struct{}
}

func (c *component) start() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.aliveLocked() {
		return fmt.Errorf("%s is already running", c.name)
	}
	log, err := os.OpenFile(c.logFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := &exec.Cmd{
		Path: c.program,
		// The name under which it is called decides which program the binary is.
		Args:   append([]string{c.name}, c.args...),
		Stdout: log,
		Stderr: log,
		SysProcAttr: &syscall.SysProcAttr{
			Pdeathsig: syscall.SIGKILL,
			// Ctrl-C reaches the supervisor alone, which ends them in order.
			Setpgid: true,
		},
	}
	if err := c.spawner.start(cmd); err != nil {
		return fmt.Errorf("starting %s: %w", c.name, err)
	}
	exited := make(chan struct{})
	c.cmd, c.exited = cmd, exited
	go func() {
		_ = cmd.Wait()
		close(exited)
	}()
	return nil
}

func (c *component) aliveLocked() bool {
	if c.cmd == nil {
		return false
	}
	select {
	case <-c.exited:
		return false
	default:
		return true
	}
}

func (c *component) alive() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.aliveLocked()
}

func (c *component) pid() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.aliveLocked() {
		return 0
	}
	return c.cmd.Process.Pid
}

func (c *component) signal(sig syscall.Signal) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.aliveLocked() {
		return fmt.Errorf("%s is not running", c.name)
	}
	return c.cmd.Process.Signal(sig)
}

// kill ends the process at once and returns when it is gone. Killing one that
// is not running is no error: what was asked for is the case.
func (c *component) kill() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.aliveLocked() {
		return nil
	}
	if err := c.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case <-c.exited:
		return nil
	case <-time.After(10 * time.Second):
		return fmt.Errorf("%s (process %d) did not end within 10 s of being killed", c.name, c.cmd.Process.Pid)
	}
}

// lastLines is the end of the component's log, for error messages.
func (c *component) lastLines() string {
	data, err := os.ReadFile(c.logFile)
	if err != nil {
		return ""
	}
	const most = 2000
	if len(data) > most {
		data = data[len(data)-most:]
	}
	return fmt.Sprintf("end of %s:\n%s", filepath.Base(c.logFile), data)
}
