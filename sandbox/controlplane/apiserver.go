package controlplane

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"path/filepath"
	"slices"
	"sync"

	"k8s.io/client-go/rest"
)

// APIServerOptions describe one kube-apiserver.
type APIServerOptions struct {
	Name     string // a file name; also its prefix in etcd
	Binaries string // the folder that holds kube-apiserver
	Dir      string // for its log and token file
	Etcd     *Etcd
	Identity *Identity
	Users    []User            // at least one; the first must be in system:masters
	RBAC     bool              // authorize by RBAC; else every user may do everything
	Args     map[string]string // additional flags without dashes; they override the defaults of this package
}

// APIServer is one running kube-apiserver.
type APIServer struct {
	*server
	url        string
	tokensFile string

	mu     sync.Mutex
	users  []User
	ca     []byte
	client *http.Client // for readiness checks; trusts ca
}

// StartAPIServer starts a kube-apiserver and returns when it is ready.
func StartAPIServer(ctx context.Context, o APIServerOptions) (*APIServer, error) {
	secure, err := reservePort()
	if err != nil {
		return nil, err
	}
	s := &APIServer{
		url:        fmt.Sprintf("https://127.0.0.1:%d", secure.Number),
		tokensFile: filepath.Join(o.Dir, o.Name+".tokens.csv"),
	}
	if err := s.start(ctx, o, secure); err != nil {
		secure.release()
		return nil, fmt.Errorf("API server %s: %w", o.Name, err)
	}
	return s, nil
}

func (s *APIServer) start(ctx context.Context, o APIServerOptions, secure *port) error {
	if err := s.SetUsers(o.Users); err != nil {
		return err
	}
	if err := s.trust(o.Identity); err != nil {
		return err
	}
	s.server = &server{
		program: filepath.Join(o.Binaries, "kube-apiserver"),
		args:    arguments(o, secure.Number, s.tokensFile),
		log:     filepath.Join(o.Dir, o.Name+".log"),
		port:    secure,
		ready: func(ctx context.Context) error {
			s.mu.Lock()
			client, token := s.client, s.users[0].Token
			s.mu.Unlock()
			return get(ctx, client, s.url+"/readyz", token)
		},
	}
	return s.Start(ctx)
}

// trust makes clients trust the certificate of an identity from now on.
func (s *APIServer) trust(identity *Identity) error {
	client, err := rest.HTTPClientFor(&rest.Config{Host: s.url, TLSClientConfig: rest.TLSClientConfig{CAData: identity.CA}})
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ca, s.client = identity.CA, client
	return nil
}

// Rotate restarts the server, on the same port and data, with a certificate of another CA. Clients with the old CA fail the TLS
// handshake; Config has the new CA.
func (s *APIServer) Rotate(ctx context.Context, identity *Identity) error {
	if err := s.trust(identity); err != nil {
		return err
	}
	s.setFlags(map[string]string{"tls-cert-file": identity.CertFile, "tls-private-key-file": identity.KeyFile})
	return s.Restart(ctx)
}

// Config is a client's configuration with the first user's token and without client-side limits.
func (s *APIServer) Config() *rest.Config { return s.ConfigFor(s.administrator()) }

// ConfigFor is a client's configuration with a user's token and without client-side limits.
func (s *APIServer) ConfigFor(user User) *rest.Config {
	s.mu.Lock()
	defer s.mu.Unlock()
	return &rest.Config{Host: s.url, BearerToken: user.Token, TLSClientConfig: rest.TLSClientConfig{CAData: s.ca}, QPS: -1}
}

// SetUsers replaces the users. kube-apiserver reads them at start: call Restart to apply.
func (s *APIServer) SetUsers(users []User) error {
	if len(users) == 0 || !slices.Contains(users[0].Groups, "system:masters") {
		return fmt.Errorf("the first user must be in system:masters")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.users = slices.Clone(users)
	return writeTokens(s.tokensFile, users)
}

func (s *APIServer) administrator() User {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.users[0]
}

// arguments disable the parts that a control plane without nodes does not need, so that it starts fast and idles.
func arguments(o APIServerOptions, securePort int, tokensFile string) []string {
	authorization := "AlwaysAllow"
	if o.RBAC {
		authorization = "RBAC"
	}
	flags := map[string]string{
		"etcd-servers": o.Etcd.url,
		"etcd-prefix":  "/" + o.Name,

		"bind-address":         "127.0.0.1",
		"advertise-address":    "127.0.0.1",
		"secure-port":          fmt.Sprint(securePort),
		"permit-port-sharing":  "true", // the port is reserved by a socket of ours, see port
		"tls-cert-file":        o.Identity.CertFile,
		"tls-private-key-file": o.Identity.KeyFile,

		"authorization-mode":               authorization,
		"token-auth-file":                  tokensFile,
		"anonymous-auth":                   "false",
		"service-account-issuer":           "https://kubernetes.default.svc",
		"service-account-key-file":         o.Identity.ServiceAccountKey,
		"service-account-signing-key-file": o.Identity.ServiceAccountKey,

		// Let Pods be created without service accounts and nodes.
		"disable-admission-plugins":    "ServiceAccount,DefaultTolerationSeconds,TaintNodesByCondition,RuntimeClass,StorageObjectInUseProtection",
		"service-cluster-ip-range":     "10.0.0.0/16",
		"endpoint-reconciler-type":     "none",
		"enable-priority-and-fairness": "false",
		"profiling":                    "false",
		"event-ttl":                    "10m",
	}
	maps.Copy(flags, o.Args)
	var args []string
	for _, name := range slices.Sorted(maps.Keys(flags)) {
		args = append(args, "--"+name+"="+flags[name])
	}
	return args
}
