package client

import (
	"errors"
	"fmt"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"
)

// quoted matches a value that the YAML parser quotes in an error.
var quoted = regexp.MustCompile("!!\\w+ `[^`]*`|anchor '[^']*'")

// FromKubeconfig reads a kubeconfig file that the operator of this process wrote: everything that client-go supports is allowed,
// programs included, but for credentials in the server's URL. Relative paths in it start from its folder. An empty context is the
// file's current one. Errors hold no values that may be secret.
func FromKubeconfig(path, context string) (*rest.Config, error) {
	file, err := clientcmd.LoadFromFile(path)
	if err != nil {
		return nil, fmt.Errorf("kubeconfig %s: %s", path, quoted.ReplaceAllString(err.Error(), "a value"))
	}
	if err := checkURLs(file); err != nil {
		return nil, fmt.Errorf("kubeconfig %s: %w", path, err)
	}
	if err := clientcmd.ResolveLocalPaths(file); err != nil {
		return nil, fmt.Errorf("kubeconfig %s: %w", path, err)
	}
	// Not the loader that kubectl uses: of an empty file that one makes the configuration of the cluster it runs in.
	cfg, err := clientcmd.NewNonInteractiveClientConfig(*file, context, &clientcmd.ConfigOverrides{}, nil).ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("kubeconfig %s: %w", path, err)
	}
	return cfg, nil
}

// checkURLs refuses unusable URLs here, because other packages would print the password in them.
func checkURLs(file *api.Config) error {
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(file.Clusters)) {
		c := file.Clusters[name]
		server, err := url.Parse(c.Server)
		if err == nil && server.User != nil || err != nil && strings.Contains(c.Server, "@") {
			errs = append(errs, fmt.Errorf("clusters[%s].server: holds credentials: they belong to users", name))
		}
		if c.ProxyURL == "" {
			continue
		}
		proxy, err := url.Parse(c.ProxyURL)
		if err != nil || !slices.Contains([]string{"http", "https", "socks5"}, proxy.Scheme) || proxy.Host == "" {
			errs = append(errs, fmt.Errorf("clusters[%s].proxy-url: want http, https or socks5, and a host", name))
		}
	}
	return errors.Join(errs...)
}
