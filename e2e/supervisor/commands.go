package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// announcement is what the parent learns when the instance is ready.
type announcement struct {
	Ready             bool           `json:"ready"`
	Kubeconfig        string         `json:"kubeconfig"`
	Endpoint          string         `json:"endpoint"`
	DataDir           string         `json:"dataDir"`
	Supervisor        int            `json:"supervisor"`
	PIDs              map[string]int `json:"pids"`
	StartMilliseconds int64          `json:"startMilliseconds"`
}

type answer struct {
	OK    bool           `json:"ok"`
	Error string         `json:"error,omitempty"`
	PIDs  map[string]int `json:"pids,omitempty"`
}

// announce prints the announcement and leaves it in the directory, where those
// look who did not start the instance.
func announce(i *instance, took time.Duration) error {
	line, err := json.Marshal(announcement{
		Ready: true, Kubeconfig: i.kubeconfig, Endpoint: i.endpoint, DataDir: i.dir,
		Supervisor: os.Getpid(), PIDs: i.pids(), StartMilliseconds: took.Milliseconds(),
	})
	if err != nil {
		return err
	}
	temporary := filepath.Join(i.dir, ".ready.json")
	if err := os.WriteFile(temporary, line, 0o600); err != nil {
		return err
	}
	if err := os.Rename(temporary, filepath.Join(i.dir, "ready.json")); err != nil {
		return err
	}
	fmt.Println(string(line))
	return nil
}

// readCommands passes lines on and cancels everything when there are no more.
func readCommands(ctx context.Context, cancel context.CancelFunc, commands chan<- string) {
	defer cancel()
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		select {
		case commands <- lines.Text():
		case <-ctx.Done():
			return
		}
	}
}

// serve answers commands until the context ends, and keeps the controller
// manager running, which gives up when the API server is away for long.
func serve(ctx context.Context, i *instance, commands <-chan string) {
	revive := time.NewTicker(time.Second)
	defer revive.Stop()
	wanted := i.components[controllerManager] != nil
	for {
		select {
		case <-ctx.Done():
			return
		case <-revive.C:
			if wanted && !i.components[controllerManager].alive() {
				if err := i.components[controllerManager].start(); err != nil {
					fmt.Fprintln(os.Stderr, "supervisor:", err)
				}
			}
		case command := <-commands:
			fields := strings.Fields(command)
			if len(fields) == 1 && fields[0] == "quit" {
				reply(i, nil)
				return
			}
			err := execute(ctx, i, fields)
			if err == nil && len(fields) == 2 && strings.HasSuffix(fields[1], "controller-manager") {
				wanted = fields[0] != "kill"
			}
			reply(i, err)
		}
	}
}

func execute(ctx context.Context, i *instance, fields []string) error {
	if len(fields) == 1 && fields[0] == "status" {
		return nil
	}
	if len(fields) != 2 {
		return fmt.Errorf("unknown command %q", strings.Join(fields, " "))
	}
	name := fields[1]
	if name != etcd {
		name = "kube-" + strings.TrimPrefix(name, "kube-")
	}
	c := i.components[name]
	if c == nil {
		return fmt.Errorf("this instance has no %s", fields[1])
	}
	switch fields[0] {
	case "kill":
		return c.kill()
	case "start":
		return i.startAndWait(ctx, name)
	case "stop":
		return c.signal(syscall.SIGSTOP)
	case "cont":
		return c.signal(syscall.SIGCONT)
	default:
		return fmt.Errorf("unknown command %q", fields[0])
	}
}

func reply(i *instance, err error) {
	a := answer{OK: err == nil, PIDs: i.pids()}
	if err != nil {
		a.Error = err.Error()
	}
	line, err := json.Marshal(a)
	if err != nil {
		line = []byte(`{"ok":false,"error":"the answer could not be written"}`)
	}
	fmt.Println(string(line))
}
