// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package localcluster

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"

	"k8s.io/client-go/util/cert"
	"k8s.io/client-go/util/keyutil"
)

// certificateLifetime outlasts any test and any demo; a new start makes new keys.
const certificateLifetime = 365 * 24 * time.Hour

// authority signs the certificates of one cluster.
type authority struct {
	certificate *x509.Certificate
	key         crypto.Signer
}

// keyPair is a certificate with its private key, both PEM.
type keyPair struct {
	certificate, key []byte
}

// pkiPath names a file of the cluster's keys and certificates.
func pkiPath(dir, name string) string { return filepath.Join(dir, "pki", name) }

// newAuthority makes a certificate authority and stores it below dir.
func newAuthority(dir string) (*authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("generating the cluster's key: %w", err)
	}
	certificate, err := cert.NewSelfSignedCACert(cert.Config{CommonName: "memorybudget-local"}, key)
	if err != nil {
		return nil, fmt.Errorf("signing the cluster's certificate: %w", err)
	}
	a := &authority{certificate: certificate, key: key}
	certificatePEM, err := cert.EncodeCertificates(certificate)
	if err != nil {
		return nil, fmt.Errorf("encoding the cluster's certificate: %w", err)
	}
	keyPEM, err := keyutil.MarshalPrivateKeyToPEM(key)
	if err != nil {
		return nil, fmt.Errorf("encoding the cluster's key: %w", err)
	}
	return a, keyPair{certificatePEM, keyPEM}.write(dir, "ca")
}

// loadAuthority reads what newAuthority stored below dir. Its errors wrap none, since fs.ErrNotExist means that there is no cluster.
func loadAuthority(dir string) (*authority, error) {
	certificates, err := cert.CertsFromFile(pkiPath(dir, "ca.crt"))
	if err != nil {
		return nil, fmt.Errorf("the cluster in %s has lost its certificate: %s", dir, err) //nolint:errorlint // See above.
	}
	key, err := keyutil.PrivateKeyFromFile(pkiPath(dir, "ca.key"))
	if err != nil {
		return nil, fmt.Errorf("the cluster in %s has lost its key: %s", dir, err) //nolint:errorlint // See above.
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("the cluster's key %s cannot sign", pkiPath(dir, "ca.key"))
	}
	return &authority{certificate: certificates[0], key: signer}, nil
}

// client issues a certificate that Kubernetes reads as a user (the common name) in groups (the organizations).
func (a *authority) client(user string, groups ...string) (keyPair, error) {
	return a.issue(x509.Certificate{
		Subject:     pkix.Name{CommonName: user, Organization: groups},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
}

// server issues a certificate for a program that serves on the loopback address, usable as its client certificate too.
func (a *authority) server(name string) (keyPair, error) {
	return a.issue(x509.Certificate{
		Subject:     pkix.Name{CommonName: name},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		DNSNames:    []string{"localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.ParseIP(firstServiceIP)},
	})
}

// issue completes the template, signs it for a new key and returns both.
func (a *authority) issue(template x509.Certificate) (keyPair, error) {
	fail := func(err error) (keyPair, error) {
		return keyPair{}, fmt.Errorf("issuing a certificate for %s: %w", template.Subject.CommonName, err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fail(err)
	}
	if template.SerialNumber, err = rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127)); err != nil {
		return fail(err)
	}
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.NotBefore = a.certificate.NotBefore
	template.NotAfter = time.Now().Add(certificateLifetime)
	der, err := x509.CreateCertificate(rand.Reader, &template, a.certificate, key.Public(), a.key)
	if err != nil {
		return fail(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		return fail(err)
	}
	certificatePEM, err := cert.EncodeCertificates(certificate)
	if err != nil {
		return fail(err)
	}
	keyPEM, err := keyutil.MarshalPrivateKeyToPEM(key)
	if err != nil {
		return fail(err)
	}
	return keyPair{certificatePEM, keyPEM}, nil
}

// write stores the pair as pki/NAME.crt and pki/NAME.key below dir, readable by the owner alone.
func (p keyPair) write(dir, name string) error {
	if err := os.MkdirAll(pkiPath(dir, ""), 0o700); err != nil {
		return fmt.Errorf("making the directory for keys: %w", err)
	}
	for path, content := range map[string][]byte{pkiPath(dir, name+".crt"): p.certificate, pkiPath(dir, name+".key"): p.key} {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			return fmt.Errorf("writing a key: %w", err)
		}
	}
	return nil
}

// writeServerKeys makes the keys of the servers and the key that signs service account tokens.
func (a *authority) writeServerKeys(dir string) error {
	for _, name := range []string{Etcd, APIServer} {
		pair, err := a.server(name)
		if err != nil {
			return err
		}
		if err := pair.write(dir, name); err != nil {
			return err
		}
	}
	key, err := keyutil.MakeEllipticPrivateKeyPEM()
	if err != nil {
		return fmt.Errorf("generating the service account key: %w", err)
	}
	if err := os.WriteFile(pkiPath(dir, "service-account.key"), key, 0o600); err != nil {
		return fmt.Errorf("writing the service account key: %w", err)
	}
	return nil
}
