package client

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"

	"k8s.io/client-go/rest"
	"sigs.k8s.io/yaml"
)

// maxKubeconfig bounds an untrusted kubeconfig, in bytes; a Secret holds at most as much.
const maxKubeconfig = 1 << 20

// ErrRefused is the error of an untrusted kubeconfig with a field that is not allowed there.
var ErrRefused = errors.New("not allowed in an untrusted kubeconfig")

// allowed are the fields that an untrusted kubeconfig may hold, by the path of their parent. All others are refused by name: programs to
// run (exec, auth-provider), files to read, proxies, TLS without verification, impersonation, and fields of later versions.
var allowed = map[string][]string{
	"":                   {"apiVersion", "kind", "preferences", "current-context", "clusters", "contexts", "users"},
	"preferences":        {},
	"clusters[]":         {"name", "cluster"},
	"clusters[].cluster": {"server", "certificate-authority-data"},
	"contexts[]":         {"name", "context"},
	"contexts[].context": {"cluster", "user", "namespace"},
	"users[]":            {"name", "user"},
	"users[].user":       {"token", "client-certificate-data", "client-key-data"},
}

// FromUntrusted makes a client configuration of a kubeconfig that others wrote, say into a Secret. It may hold an https server, its CA,
// and a token or a client certificate, all inline. servers restricts where it may lead; the check is repeated at each connection. The
// error names every field that is refused, and no value but the server's host.
func FromUntrusted(data []byte, servers *Servers) (*rest.Config, error) {
	if len(data) > maxKubeconfig {
		return nil, fmt.Errorf("kubeconfig: %w: more than %d bytes", ErrRefused, maxKubeconfig)
	}
	var tree map[string]any
	if yaml.UnmarshalStrict(data, &tree) != nil {
		// The parser's own message may quote the file.
		return nil, errors.New("kubeconfig: neither YAML nor JSON, or a field twice")
	}
	if err := errors.Join(refused("", "", tree)...); err != nil {
		return nil, fmt.Errorf("kubeconfig: %w", err)
	}
	var file kubeconfig
	if yaml.Unmarshal(data, &file) != nil {
		return nil, errors.New("kubeconfig: a field has the wrong type")
	}
	cfg, err := file.rest(servers)
	if err != nil {
		return nil, fmt.Errorf("kubeconfig: %w", err)
	}
	return cfg, nil
}

// refused walks the tree along allowed. rule is the path without indices, path the one for people.
func refused(rule, path string, tree map[string]any) []error {
	var errs []error
	for _, key := range slices.Sorted(maps.Keys(tree)) {
		below, at := join(rule, key), join(path, key)
		if !slices.Contains(allowed[rule], key) {
			errs = append(errs, fmt.Errorf("%s: %w", at, ErrRefused))
			continue
		}
		switch value := tree[key].(type) {
		case map[string]any:
			errs = append(errs, refused(below, at, value)...)
		case []any:
			for i, element := range value {
				if m, ok := element.(map[string]any); ok {
					errs = append(errs, refused(below+"[]", fmt.Sprintf("%s[%d]", at, i), m)...)
				}
			}
		}
	}
	return errs
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// kubeconfig holds the allowed fields.
type kubeconfig struct {
	CurrentContext string         `json:"current-context"`
	Clusters       []namedCluster `json:"clusters"`
	Contexts       []namedContext `json:"contexts"`
	Users          []namedUser    `json:"users"`
}

type namedCluster struct {
	Name    string `json:"name"`
	Cluster struct {
		Server string `json:"server"`
		CA     string `json:"certificate-authority-data"`
	} `json:"cluster"`
}

type namedContext struct {
	Name    string `json:"name"`
	Context struct {
		Cluster string `json:"cluster"`
		User    string `json:"user"`
	} `json:"context"`
}

type namedUser struct {
	Name string `json:"name"`
	User struct {
		Token string `json:"token"`
		Cert  string `json:"client-certificate-data"`
		Key   string `json:"client-key-data"`
	} `json:"user"`
}

// rest puts together the parts that the current context names.
func (k *kubeconfig) rest(servers *Servers) (*rest.Config, error) {
	context := slices.IndexFunc(k.Contexts, func(c namedContext) bool { return c.Name == k.CurrentContext })
	if context < 0 {
		return nil, errors.New("current-context: names no context")
	}
	names := k.Contexts[context].Context
	cluster := slices.IndexFunc(k.Clusters, func(c namedCluster) bool { return c.Name == names.Cluster })
	if cluster < 0 {
		return nil, errors.New("clusters: lack the one that the current context names")
	}
	user := slices.IndexFunc(k.Users, func(u namedUser) bool { return u.Name == names.User })
	if user < 0 {
		return nil, errors.New("users: lack the one that the current context names")
	}
	cfg := &rest.Config{}
	if err := k.Clusters[cluster].into(cfg, servers); err != nil {
		return nil, fmt.Errorf("clusters[%d].cluster.%w", cluster, err)
	}
	if err := k.Users[user].into(cfg); err != nil {
		return nil, fmt.Errorf("users[%d].user.%w", user, err)
	}
	return cfg, nil
}

func (c *namedCluster) into(cfg *rest.Config, servers *Servers) (err error) {
	u, err := url.Parse(c.Cluster.Server)
	if err != nil || u.Scheme != "https" || u.Hostname() == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return fmt.Errorf("server: %w: want https://host[:port][/path]", ErrRefused)
	}
	if err := servers.allowsHost(u.Hostname()); err != nil {
		return fmt.Errorf("server: %w", err)
	}
	if cfg.Dial, err = servers.dialer(c.Cluster.Server); err != nil {
		return err
	}
	cfg.Host = c.Cluster.Server
	if cfg.CAData, err = decode(c.Cluster.CA); err != nil {
		return fmt.Errorf("certificate-authority-data: %w", err)
	}
	if cfg.CAData != nil && !x509.NewCertPool().AppendCertsFromPEM(cfg.CAData) {
		return errors.New("certificate-authority-data: holds no PEM certificate")
	}
	return nil
}

func (u *namedUser) into(cfg *rest.Config) (err error) {
	cfg.BearerToken = u.User.Token
	if cfg.CertData, err = decode(u.User.Cert); err != nil {
		return fmt.Errorf("client-certificate-data: %w", err)
	}
	if cfg.KeyData, err = decode(u.User.Key); err != nil {
		return fmt.Errorf("client-key-data: %w", err)
	}
	if cfg.CertData == nil && cfg.KeyData == nil {
		return nil
	}
	if _, err := tls.X509KeyPair(cfg.CertData, cfg.KeyData); err != nil {
		return errors.New("client-certificate-data and client-key-data: are no pair")
	}
	return nil
}

func decode(text string) ([]byte, error) {
	if text == "" {
		return nil, nil
	}
	data, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil, errors.New("not base64")
	}
	return data, nil
}
