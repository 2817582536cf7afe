package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// identity is what the instance proves itself with, and its users' tokens.
type identity struct {
	caFile, caKeyFile       string
	certFile, keyFile       string
	serviceAccountKey       string
	tokenFile               string
	caPEM                   []byte
	adminToken, systemToken string
}

// serverName is in the server's certificate beside the loopback address;
// kubeconfigs ask for it, as they would in a cluster.
const serverName = "kubernetes.default.svc"

func newIdentity(dir string) (*identity, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	id := &identity{
		caFile:            filepath.Join(dir, "ca.crt"),
		caKeyFile:         filepath.Join(dir, "ca.key"),
		certFile:          filepath.Join(dir, "apiserver.crt"),
		keyFile:           filepath.Join(dir, "apiserver.key"),
		serviceAccountKey: filepath.Join(dir, "service-account.key"),
		tokenFile:         filepath.Join(dir, "tokens.csv"),
		adminToken:        randomHex(16),
		systemToken:       randomHex(16),
	}

	caKey, err := newKey(id.caKeyFile)
	if err != nil {
		return nil, err
	}
	ca := certificate("driftline-e2e-ca")
	ca.IsCA = true
	ca.BasicConstraintsValid = true
	ca.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature
	caDER, err := x509.CreateCertificate(rand.Reader, ca, ca, caKey.Public(), caKey)
	if err != nil {
		return nil, err
	}
	if id.caPEM, err = writePEM(id.caFile, "CERTIFICATE", caDER); err != nil {
		return nil, err
	}
	// The template lacks what only the parsed form has, such as the key id
	// that the server's certificate must point to.
	if ca, err = x509.ParseCertificate(caDER); err != nil {
		return nil, err
	}

	serverKey, err := newKey(id.keyFile)
	if err != nil {
		return nil, err
	}
	server := certificate("kube-apiserver")
	server.KeyUsage = x509.KeyUsageDigitalSignature
	server.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	server.DNSNames = []string{serverName, "kubernetes.default", "kubernetes", "localhost"}
	server.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1), net.IPv4(10, 96, 0, 1)}
	serverDER, err := x509.CreateCertificate(rand.Reader, server, ca, serverKey.Public(), caKey)
	if err != nil {
		return nil, err
	}
	if _, err := writePEM(id.certFile, "CERTIFICATE", serverDER); err != nil {
		return nil, err
	}
	if _, err := newKey(id.serviceAccountKey); err != nil {
		return nil, err
	}

	// The controller manager has a name of its own, so that whoever looks at
	// the user of a request can tell it from a person.
	tokens := fmt.Sprintf("%s,kubernetes-admin,kubernetes-admin,system:masters\n%s,%s,%s,system:masters\n",
		id.adminToken, id.systemToken, "system:kube-controller-manager", "system:kube-controller-manager")
	return id, os.WriteFile(id.tokenFile, []byte(tokens), 0o600)
}

func certificate(name string) *x509.Certificate {
	serial, _ := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	return &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: name},
		// Some slack for clocks that differ between machines and containers.
		NotBefore: time.Now().Add(-time.Hour),
		NotAfter:  time.Now().AddDate(1, 0, 0),
	}
}

func newKey(file string) (*ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return nil, err
	}
	_, err = writePEM(file, "EC PRIVATE KEY", der)
	return key, err
}

func writePEM(file, kind string, der []byte) ([]byte, error) {
	text := pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
	return text, os.WriteFile(file, text, 0o600)
}

func randomHex(bytes int) string {
	b := make([]byte, bytes)
	_, _ = rand.Read(b) // never fails, by its documentation
	return hex.EncodeToString(b)
}

// writeKubeconfig writes a kubeconfig with everything inside it, so that it
// can be moved or handed to another process.
func writeKubeconfig(file, endpoint, user, token string, caPEM []byte) error {
	text := fmt.Sprintf(`apiVersion: v1
kind: Config
clusters:
- name: driftline
  cluster:
    server: %s
    tls-server-name: %s
    certificate-authority-data: %s
users:
- name: %s
  user:
    token: %s
contexts:
- name: driftline
  context:
    cluster: driftline
    user: %s
current-context: driftline
`, endpoint, serverName, base64.StdEncoding.EncodeToString(caPEM), user, token, user)
	return os.WriteFile(file, []byte(text), 0o600)
}
