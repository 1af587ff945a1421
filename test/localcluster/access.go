// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package localcluster

import (
	"context"
	"fmt"
	"path/filepath"

	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"k8s.io/client-go/util/cert"
)

// mastersGroup may do everything, whatever RBAC says.
const mastersGroup = "system:masters"

// contextName is the name of cluster, user and context in the kubeconfig files.
const contextName = "memorybudget-local"

// RESTConfig gives full access, without client-side rate limits.
func (c *Cluster) RESTConfig() *rest.Config { return rest.CopyConfig(c.admin) }

// KubeconfigPath names a kubeconfig file with full access.
func (c *Cluster) KubeconfigPath() string { return filepath.Join(c.dir, "kubeconfig") }

// UserConfig gives the access that RBAC grants to a user in the given groups, by a client certificate.
func (c *Cluster) UserConfig(user string, groups ...string) (*rest.Config, error) {
	pair, err := c.authority.client(user, groups...)
	if err != nil {
		return nil, err
	}
	authorityPEM, err := cert.EncodeCertificates(c.authority.certificate)
	if err != nil {
		return nil, fmt.Errorf("encoding the cluster's certificate: %w", err)
	}
	return &rest.Config{
		Host: c.server,
		TLSClientConfig: rest.TLSClientConfig{
			CAData:   authorityPEM,
			CertData: pair.certificate,
			KeyData:  pair.key,
		},
		QPS: -1,
	}, nil
}

// Kubeconfig is UserConfig as the content of a kubeconfig file.
func (c *Cluster) Kubeconfig(user string, groups ...string) ([]byte, error) {
	config, err := c.UserConfig(user, groups...)
	if err != nil {
		return nil, err
	}
	content, err := clientcmd.Write(kubeconfig(config))
	if err != nil {
		return nil, fmt.Errorf("writing a kubeconfig for %s: %w", user, err)
	}
	return content, nil
}

// ServiceAccountConfig gives the access of an existing service account, by a token that is valid for an hour.
func (c *Cluster) ServiceAccountConfig(ctx context.Context, namespace, name string) (*rest.Config, error) {
	client, err := kubernetes.NewForConfig(c.admin)
	if err != nil {
		return nil, fmt.Errorf("making a client: %w", err)
	}
	seconds := int64(3600)
	token, err := client.CoreV1().ServiceAccounts(namespace).CreateToken(ctx, name,
		&authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: &seconds}}, metav1.CreateOptions{})
	if err != nil {
		return nil, fmt.Errorf("requesting a token for service account %s/%s: %w", namespace, name, err)
	}
	config := rest.AnonymousClientConfig(c.admin)
	config.BearerToken = token.Status.Token
	config.QPS = -1
	return config, nil
}

// kubeconfig turns client settings into the content of a kubeconfig file.
func kubeconfig(config *rest.Config) clientcmdapi.Config {
	return clientcmdapi.Config{
		Clusters: map[string]*clientcmdapi.Cluster{
			contextName: {Server: config.Host, CertificateAuthorityData: config.CAData},
		},
		AuthInfos: map[string]*clientcmdapi.AuthInfo{
			contextName: {ClientCertificateData: config.CertData, ClientKeyData: config.KeyData, Token: config.BearerToken},
		},
		Contexts: map[string]*clientcmdapi.Context{
			contextName: {Cluster: contextName, AuthInfo: contextName},
		},
		CurrentContext: contextName,
	}
}

// writeKubeconfig stores a kubeconfig file for a user at path.
func (c *Cluster) writeKubeconfig(path, user string, groups ...string) error {
	config, err := c.UserConfig(user, groups...)
	if err != nil {
		return err
	}
	if err := clientcmd.WriteToFile(kubeconfig(config), path); err != nil {
		return fmt.Errorf("writing a kubeconfig for %s: %w", user, err)
	}
	return nil
}
