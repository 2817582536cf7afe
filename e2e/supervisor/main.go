// Command supervisor runs a private Kubernetes control plane (etcd,
// kube-apiserver and, where it is at hand, kube-controller-manager) in one
// directory, and leaves nothing behind.
//
// It ends its children and removes the directory when its standard input ends,
// which happens however the process that started it ends, and on SIGTERM and
// SIGINT. Should it be killed itself, the kernel kills its children.
//
// When the control plane is ready it prints one line of JSON. After that it
// reads commands from standard input and answers each with one line of JSON:
//
//	kill NAME    end a component at once (SIGKILL)
//	start NAME   start it again with the same flags and wait until it is ready
//	stop NAME    freeze it (SIGSTOP)
//	cont NAME    let it go on (SIGCONT)
//	status       the process of each component
//	quit         end
//
// NAME is etcd, apiserver or controller-manager.
//
// With "leash" as its first argument it runs any other program instead.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

type options struct {
	dir, binaries          string
	detached               bool
	noControllerManager    bool
	startTimeout           time.Duration
	etcdFlags              list
	apiserverFlags         list
	controllerManagerFlags list
}

type list []string

func (l *list) String() string     { return strings.Join(*l, " ") }
func (l *list) Set(v string) error { *l = append(*l, v); return nil }

// program is the file that plays a component: one of that name, as in the
// assets of envtest, or the binary that holds them all.
func (o options) program(name string) string {
	own := filepath.Join(o.binaries, name)
	if _, err := os.Stat(own); err == nil {
		return own
	}
	return filepath.Join(o.binaries, "controlplane")
}

func (o options) hasControllerManager() bool {
	if o.noControllerManager {
		return false
	}
	_, err := os.Stat(o.program(controllerManager))
	return err == nil
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "supervisor:", err)
		os.Exit(1)
	}
}

func run() error {
	if len(os.Args) > 1 && os.Args[1] == "leash" {
		return leash(os.Args[2:])
	}
	var o options
	flag.StringVar(&o.dir, "data", "", "directory for everything the instance writes; must not exist or be empty, and is removed at the end")
	flag.StringVar(&o.binaries, "binaries", "", "directory with controlplane, or with etcd and kube-apiserver")
	flag.BoolVar(&o.detached, "detached", false, "ignore standard input and hang-ups; end on SIGTERM or SIGINT only")
	flag.BoolVar(&o.noControllerManager, "no-controller-manager", false, "run without kube-controller-manager")
	flag.DurationVar(&o.startTimeout, "start-timeout", 90*time.Second, "how long each component may take to become ready")
	flag.Var(&o.etcdFlags, "etcd-flag", "one more flag for etcd (repeatable)")
	flag.Var(&o.apiserverFlags, "apiserver-flag", "one more flag for kube-apiserver (repeatable)")
	flag.Var(&o.controllerManagerFlags, "controller-manager-flag", "one more flag for kube-controller-manager (repeatable)")
	flag.Parse()
	if o.dir == "" || o.binaries == "" {
		return errors.New("--data and --binaries are needed")
	}

	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer cancel()
	commands := make(chan string)
	if o.detached {
		signal.Ignore(syscall.SIGHUP)
	} else {
		// Reading starts before the instance does: a parent that dies while it
		// waits for readiness must be noticed as well.
		go readCommands(ctx, cancel, commands)
	}

	remove, err := claim(&o.dir)
	if err != nil {
		return err
	}
	defer remove()

	began := time.Now()
	i, err := startInstance(ctx, o)
	if err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	defer i.killAll()
	if err := announce(i, time.Since(began)); err != nil {
		return err
	}
	serve(ctx, i, commands)
	return nil
}

// claim takes the directory for this instance. What is removed at the end must
// have been made by us: a directory with anything in it is refused.
func claim(dir *string) (remove func(), err error) {
	if *dir, err = filepath.Abs(*dir); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(*dir, 0o700); err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(*dir)
	if err != nil {
		return nil, err
	}
	if len(entries) > 0 {
		return nil, fmt.Errorf("%s is not empty; give --data a directory that is empty or does not exist", *dir)
	}
	claimed := *dir
	return func() {
		if err := os.RemoveAll(claimed); err != nil {
			fmt.Fprintln(os.Stderr, "supervisor: removing the data:", err)
		}
	}, nil
}
