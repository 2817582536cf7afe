package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"
)

const (
	etcd              = "etcd"
	apiserver         = "kube-apiserver"
	controllerManager = "kube-controller-manager"
)

// instance is one control plane in a directory of its own.
type instance struct {
	options    options
	dir        string
	endpoint   string
	kubeconfig string
	identity   *identity
	components map[string]*component
	client     *http.Client
}

// errPortTaken says that another process was faster to take a chosen port.
var errPortTaken = errors.New("a chosen port was taken by another process")

// startInstance starts everything and returns when requests can be served. The
// ports are chosen before the servers bind them, so somebody else can get in
// between; then it tries again with others.
func startInstance(ctx context.Context, o options) (*instance, error) {
	id, err := newIdentity(filepath.Join(o.dir, "pki"))
	if err != nil {
		return nil, err
	}
	s := newSpawner()
	for attempt := 0; ; attempt++ {
		i, err := newInstance(o, id, s)
		if err != nil {
			return nil, err
		}
		if err = i.start(ctx); err == nil {
			return i, nil
		}
		i.killAll()
		if !errors.Is(err, errPortTaken) || attempt == 4 {
			return nil, err
		}
		_ = os.RemoveAll(filepath.Join(o.dir, "etcd"))
		_ = os.RemoveAll(filepath.Join(o.dir, "logs"))
	}
}

func newInstance(o options, id *identity, s *spawner) (*instance, error) {
	ports, err := freePorts(3)
	if err != nil {
		return nil, err
	}
	logs := filepath.Join(o.dir, "logs")
	if err := os.MkdirAll(logs, 0o700); err != nil {
		return nil, err
	}
	i := &instance{
		options:    o,
		dir:        o.dir,
		endpoint:   fmt.Sprintf("https://127.0.0.1:%d", ports[2]),
		kubeconfig: filepath.Join(o.dir, "kubeconfig"),
		identity:   id,
		components: map[string]*component{},
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(id.caPEM)
	i.client = &http.Client{
		Timeout: 5 * time.Second,
		Transport: &http.Transport{
			TLSClientConfig: &tls.Config{RootCAs: roots, ServerName: serverName},
			// A connection to a server that was killed must not be found again.
			DisableKeepAlives: true,
		},
	}

	systemKubeconfig := filepath.Join(o.dir, "pki", "controller-manager.kubeconfig")
	if err := writeKubeconfig(i.kubeconfig, i.endpoint, "kubernetes-admin", id.adminToken, id.caPEM); err != nil {
		return nil, err
	}
	if err := writeKubeconfig(systemKubeconfig, i.endpoint, "kube-controller-manager", id.systemToken, id.caPEM); err != nil {
		return nil, err
	}

	add := func(name string, args []string) {
		i.components[name] = &component{
			name: name, program: o.program(name), args: args, spawner: s,
			logFile: filepath.Join(logs, name+".log"),
		}
	}
	etcdURL := fmt.Sprintf("http://127.0.0.1:%d", ports[0])
	peerURL := fmt.Sprintf("http://127.0.0.1:%d", ports[1])
	add(etcd, append([]string{
		"--name=default",
		"--data-dir=" + filepath.Join(o.dir, "etcd"),
		"--listen-client-urls=" + etcdURL,
		"--advertise-client-urls=" + etcdURL,
		"--listen-peer-urls=" + peerURL,
		"--initial-advertise-peer-urls=" + peerURL,
		"--initial-cluster=default=" + peerURL,
		"--log-level=warn",
		// The data do not outlive the instance, so they need not survive a
		// power cut either.
		"--unsafe-no-fsync",
	}, o.etcdFlags...))

	apiserverArgs := []string{
		"--etcd-servers=" + etcdURL,
		"--bind-address=127.0.0.1",
		fmt.Sprintf("--secure-port=%d", ports[2]),
		// The endpoints of the service "kubernetes" cannot be a loopback
		// address; nothing routes to it here, so any other will do.
		"--advertise-address=10.96.0.1",
		"--endpoint-reconciler-type=none",
		"--tls-cert-file=" + id.certFile,
		"--tls-private-key-file=" + id.keyFile,
		"--client-ca-file=" + id.caFile,
		"--token-auth-file=" + id.tokenFile,
		"--authorization-mode=RBAC",
		"--service-account-issuer=https://" + serverName,
		"--service-account-key-file=" + id.serviceAccountKey,
		"--service-account-signing-key-file=" + id.serviceAccountKey,
		"--service-cluster-ip-range=10.96.0.0/16",
		// As in real clusters; without it nobody may declare or add such a container.
		"--allow-privileged=true",
		// Tests kill it; connections that a graceful end would keep only delay.
		"--shutdown-delay-duration=0s",
	}
	if !o.hasControllerManager() {
		// Nobody creates the account "default" that this plugin waits for.
		apiserverArgs = append(apiserverArgs, "--disable-admission-plugins=ServiceAccount")
	}
	add(apiserver, append(apiserverArgs, o.apiserverFlags...))

	if o.hasControllerManager() {
		add(controllerManager, append([]string{
			"--kubeconfig=" + systemKubeconfig,
			"--leader-elect=false",
			"--use-service-account-credentials=false",
			"--service-account-private-key-file=" + id.serviceAccountKey,
			"--root-ca-file=" + id.caFile,
			"--cluster-signing-cert-file=" + id.caFile,
			"--cluster-signing-key-file=" + id.caKeyFile,
			// Nobody asks its own port anything.
			"--secure-port=0",
			"--kube-api-qps=500",
			"--kube-api-burst=1000",
		}, o.controllerManagerFlags...))
	}
	return i, nil
}

func (i *instance) start(ctx context.Context) error {
	if err := i.startAndWait(ctx, etcd); err != nil {
		return err
	}
	if err := i.startAndWait(ctx, apiserver); err != nil {
		return err
	}
	if i.components[controllerManager] == nil {
		return nil
	}
	return i.startAndWait(ctx, controllerManager)
}

// startAndWait starts one component and waits until it does its work.
func (i *instance) startAndWait(ctx context.Context, name string) error {
	c := i.components[name]
	if c == nil {
		return fmt.Errorf("this instance has no %s", name)
	}
	if err := c.start(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, i.options.startTimeout)
	defer cancel()
	last := errors.New("not asked yet")
	for {
		if last = i.ready(ctx, name); last == nil {
			return nil
		}
		if !c.alive() {
			log := c.lastLines()
			if bytes.Contains([]byte(log), []byte("address already in use")) {
				return errPortTaken
			}
			return fmt.Errorf("%s ended while starting; %s", name, log)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s is not ready (%w): %v; %s", name, ctx.Err(), last, c.lastLines())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func (i *instance) ready(ctx context.Context, name string) error {
	switch name {
	case etcd:
		// The old path: /readyz came with 3.5.11, and older assets of envtest and
		// controlplane-old bring older ones.
		return i.get(ctx, i.components[etcd].clientURL()+"/health")
	case apiserver:
		return i.get(ctx, i.endpoint+"/readyz")
	default:
		// Pods can be created once this account is there, which is also the
		// sign that the controllers run.
		return i.get(ctx, i.endpoint+"/api/v1/namespaces/default/serviceaccounts/default")
	}
}

// clientURL is where etcd listens, by its own flags.
func (c *component) clientURL() string {
	const flag = "--listen-client-urls="
	for _, a := range c.args {
		if len(a) > len(flag) && a[:len(flag)] == flag {
			return a[len(flag):]
		}
	}
	return ""
}

func (i *instance) get(ctx context.Context, url string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	request.Header.Set("Authorization", "Bearer "+i.identity.adminToken)
	response, err := i.client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, 4096))
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s: %s", url, response.Status, body)
	}
	return nil
}

// killAll ends every component. None of them is asked politely: nothing of
// theirs is kept.
func (i *instance) killAll() {
	for _, name := range []string{controllerManager, apiserver, etcd} {
		if c := i.components[name]; c != nil {
			if err := c.kill(); err != nil {
				fmt.Fprintln(os.Stderr, "supervisor:", err)
			}
		}
	}
}

func (i *instance) pids() map[string]int {
	pids := map[string]int{}
	for name, c := range i.components {
		pids[name] = c.pid()
	}
	return pids
}

// freePorts chooses ports below the range from which the kernel takes those of
// outgoing connections: an API server that is killed and started again must
// find its port still free.
func freePorts(n int) ([]int, error) {
	ports := map[int]bool{}
	chosen := make([]int, 0, n)
	for tries := 0; len(chosen) < n; tries++ {
		if tries > 1000 {
			return nil, errors.New("no free port between 20000 and 32000 on 127.0.0.1")
		}
		port := 20000 + rand.IntN(12000)
		if ports[port] {
			continue
		}
		listener, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			continue
		}
		_ = listener.Close()
		ports[port] = true
		chosen = append(chosen, port)
	}
	return chosen, nil
}
