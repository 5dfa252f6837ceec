package app

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"github.com/upstreamd/upstreamd/internal/config"
	"github.com/upstreamd/upstreamd/internal/kube/kubetest"
)

// followed is a configuration's file of an App that does not run: the test checks it itself.
type followed struct {
	*configurationFile
	log *syncBuffer
}

func followFile(t *testing.T, c *config.Configuration) *followed {
	t.Helper()
	f := &followed{log: &syncBuffer{}}
	name := filepath.Join(t.TempDir(), "upstreamd.yaml")
	writeConfiguration(t, name, c)
	c, err := config.Load(name)
	if err != nil {
		t.Fatal(err)
	}
	a, err := New(c, zerolog.New(f.log))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.upstream.Close)
	a.Follow(name, nil)
	f.configurationFile = a.file
	return f
}

func writeConfiguration(t *testing.T, name string, c *config.Configuration) {
	t.Helper()
	content, err := config.Print(c)
	if err != nil {
		t.Fatal(err)
	}
	write(t, name, string(content))
}

// looks checks as often as needed for a change to be applied completely.
func (f *followed) looks() {
	for range 6 {
		f.check(false)
	}
}

func (f *followed) targets() []configuredTarget { return f.app.desired.Load().targets }

func (f *followed) said(text string) int { return strings.Count(f.log.String(), text) }

// signIn writes a kubeconfig with a token; user holds further fields of the user, and cluster of the cluster.
func signIn(t *testing.T, name, server, token, cluster, user string) {
	t.Helper()
	write(t, name, fmt.Sprintf(`{"apiVersion": "v1", "kind": "Config", "current-context": "c",
		"contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
		"clusters": [{"name": "c", "cluster": {"server": %q%s}}], "users": [{"name": "u", "user": {"token": %q%s}}]}`, server, cluster, token, user))
}

// TestOwnCredentialsAreRenewed: requests to all servers but those of SyncTargets use the present credentials of their kubeconfigs.
func TestOwnCredentialsAreRenewed(t *testing.T) {
	const unverified = `, "insecure-skip-tls-verify": true`
	var mu sync.Mutex
	heard := map[string]string{} // Authorization by API group
	// client-go sends no tokens in the clear.
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, group, _ := strings.Cut(r.URL.Path, "/apis/")
		group, _, _ = strings.Cut(group, "/")
		mu.Lock()
		heard[group] = r.Header.Get("Authorization")
		mu.Unlock()
		kubetest.Status(http.StatusNotFound, "NotFound")(w, r)
	}))
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	c := configure(t, unreachable(t), unreachable(t))
	c.Serving.TLS, c.Serving.Reviews = &config.ServingTLS{}, &config.Reviews{Kubeconfig: kubeconfig(t, unreachable(t))}
	c.LeaderElection.Enabled, c.LeaderElection.Namespace, c.LeaderElection.Kubeconfig = true, "ns", kubeconfig(t, unreachable(t))
	files := map[string]string{"core.kcp.io": c.Upstream.Kubeconfig, "authentication.k8s.io": c.Serving.Reviews.Kubeconfig, "coordination.k8s.io": c.LeaderElection.Kubeconfig}
	for group, file := range files {
		signIn(t, file, server.URL, group+"-one", unverified, "")
	}
	f := followFile(t, c)
	t.Cleanup(f.app.gate.reviewer.Close)
	asks := func(want string) {
		t.Helper()
		_ = f.app.upstream.Resolve(t.Context()) // the answers are all the same
		_ = f.app.election.Release(t.Context())
		r := httptest.NewRequest(http.MethodGet, "/metrics", nil)
		r.Header.Set("Authorization", "Bearer someone")
		f.app.gate.reviewer.Guard(http.NotFoundHandler()).ServeHTTP(httptest.NewRecorder(), r)
		mu.Lock()
		defer mu.Unlock()
		for group := range files {
			if got := heard[group]; got != "Bearer "+group+want {
				t.Errorf("%s is asked with %q, want %s", group, got, want)
			}
		}
		clear(heard)
	}
	f.looks()
	asks("-one")
	if f.said("were renewed") > 0 {
		t.Error("something was renewed that had not changed")
	}
	for group, file := range files {
		signIn(t, file, server.URL, group+"-two", unverified, "")
	}
	f.looks()
	asks("-two")
	for _, field := range []string{"upstream.kubeconfig", "serving.reviews.kubeconfig", "leaderElection.kubeconfig"} {
		if n := f.said(`"field":"` + field + `"`); n != 1 {
			t.Errorf("it was said %d times that %s was renewed", n, field)
		}
	}
	for _, file := range files {
		write(t, file, "clusters: 5")
	}
	f.looks()
	asks("-two")
	for group, file := range files {
		signIn(t, file, "https://elsewhere.example", group+"-three", unverified, "")
	}
	f.looks()
	asks("-two")
	if n := f.said("credentials cannot be renewed"); n != 2 {
		t.Errorf("it was said %d times that credentials cannot be renewed, want 2", n)
	}
	for group, file := range files {
		signIn(t, file, server.URL, group+"-three", unverified, "")
	}
	f.looks()
	asks("-three")
}

// TestCertificatesInFilesAreRenewed: a kubeconfig that stays the same may name files that do not.
func TestCertificatesInFilesAreRenewed(t *testing.T) {
	server := httptest.NewTLSServer(http.NotFoundHandler())
	defer server.Close()
	shown := server.TLS.Certificates[0]
	key, err := x509.MarshalPKCS8PrivateKey(shown.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	cert := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: shown.Certificate[0]}))
	c := configure(t, unreachable(t), unreachable(t))
	file := c.SyncTargets[0].Kubeconfig
	beside := filepath.Join(filepath.Dir(file), "tls.")
	contents := map[string]string{"ca": cert, "crt": cert, "key": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}))}
	for suffix, content := range contents {
		write(t, beside+suffix, content)
	}
	signIn(t, file, server.URL, "token", `, "certificate-authority": "tls.ca"`, `, "client-certificate": "tls.crt", "client-key": "tls.key"`)
	f := followFile(t, c)
	f.looks()
	for suffix, content := range contents {
		before := f.app.desired.Load()
		f.looks()
		if f.app.desired.Load() != before {
			t.Error("taken up although nothing had changed")
		}
		write(t, beside+suffix, "broken")
		f.looks()
		if f.app.desired.Load() != before {
			t.Errorf("a broken %s was taken", suffix)
		}
		write(t, beside+suffix, content+"\n")
		f.looks()
		all, _ := f.app.wantedTargets(f.targets(), nil, time.Now())
		held := all["a"].config.TLSClientConfig
		if f.app.desired.Load() == before || !strings.Contains(string(held.CAData)+string(held.CertData)+string(held.KeyData), content+"\n") {
			t.Errorf("another %s was not taken", suffix)
		}
	}
}

// TestWhatIsWrongIsTriedAgain: nothing that is looked at every 2 s changes when a file comes that only a refused configuration names.
func TestWhatIsWrongIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := configure(t, unreachable(t), unreachable(t))
		f := followFile(t, c)
		later := filepath.Join(t.TempDir(), "later")
		c.SyncTargets = append(c.SyncTargets, config.SyncTarget{Name: "b", Cluster: "root:infra", Kubeconfig: later, Workspaces: []string{"root:team-a"}})
		writeConfiguration(t, f.name, c)
		wrong := func(want int) {
			t.Helper()
			if n := f.said("the configuration is wrong now"); n != want || len(f.targets()) != 1 {
				t.Errorf("said %d times, want %d; %d SyncTargets", n, want, len(f.targets()))
			}
		}
		f.looks()
		wrong(1)
		time.Sleep(time.Minute)
		f.looks()
		wrong(1)
		write(t, later, "clusters: 5")
		f.looks()
		wrong(1)
		time.Sleep(f.app.pace.mend)
		f.looks()
		wrong(2)
		signIn(t, later, "https://later.example", "token", "", "")
		f.looks()
		wrong(2)
		time.Sleep(f.app.pace.mend)
		f.looks()
		if len(f.targets()) != 2 || f.said("the configuration was read again") != 1 {
			t.Errorf("%d SyncTargets", len(f.targets()))
		}
		f.check(true)
		if f.said("the configuration was read again") != 2 {
			t.Error("who asked was not told")
		}
		if err := os.Remove(later); err != nil {
			t.Fatal(err)
		}
		f.looks()
		signIn(t, later, "https://later.example", "token", "", "")
		f.looks()
		if f.said("the configuration is wrong now") != 3 || f.said("the configuration was read again") != 3 {
			t.Error("it was not said that all is well again")
		}
	})
}

// TestWhatChangesDuringTheStartIsTakenUp: the file was read before anybody followed it.
func TestWhatChangesDuringTheStartIsTakenUp(t *testing.T) {
	c := configure(t, unreachable(t), unreachable(t), unreachable(t))
	f := followFile(t, c)
	c.SyncTargets = c.SyncTargets[1:]
	writeConfiguration(t, f.name, c)
	f.app.Follow(f.name, nil)
	f.configurationFile = f.app.file
	f.looks()
	if len(f.targets()) != 1 || f.said("the configuration was read again") != 1 {
		t.Errorf("%d SyncTargets", len(f.targets()))
	}
}

// TestAConfigurationIsTakenWhole: SyncTargets that move elsewhere in one edit are not gone because only half of it could be taken.
func TestAConfigurationIsTakenWhole(t *testing.T) {
	for field, change := range map[string]func(*config.Configuration){
		"upstream": func(c *config.Configuration) {
			c.Upstream.Workspaces = []string{"root:team-a", "root:team-b"}
			c.SyncTargets = c.SyncTargets[:1]
		},
		"syncTargetDiscovery": func(c *config.Configuration) {
			c.Discovery = &config.Discovery{Workspace: "root:infra", SecretNamespace: "keys", Workspaces: []string{"root:team-a"}}
			c.SyncTargets = nil
		},
		"locators": func(c *config.Configuration) {
			c.Locators = []string{config.NamespaceLocator}
			c.SyncTargets, c.Resources = c.SyncTargets[:1], []config.Resource{{Version: "v1", Resource: "pods"}}
		},
	} {
		t.Run(field, func(t *testing.T) {
			c := configure(t, unreachable(t), unreachable(t), unreachable(t))
			f := followFile(t, c)
			other := *c
			other.Debounce.Quiet.Duration *= 2
			change(&other)
			writeConfiguration(t, f.name, &other)
			f.looks()
			w := f.app.desired.Load()
			if len(w.targets) != 2 || w.resources[0].Resource != "deployments" {
				t.Errorf("%d SyncTargets, %v", len(w.targets), w.resources)
			}
			renews := func(token string) {
				t.Helper()
				signIn(t, c.SyncTargets[0].Kubeconfig, "https://a.example", token, "", "")
				f.looks()
				if got := f.targets()[0].config.BearerToken; got != token {
					t.Errorf("the token is %q, want %q: credentials do not wait", got, token)
				}
			}
			renews("one")
			if n := f.said("and those of syncTargets and resources with them"); n != 1 || f.said(`"`+field+`"`) != 1 || f.said(`"debounce"`) != 1 {
				t.Errorf("said %d times", n)
			}
			c.SyncTargets = c.SyncTargets[1:]
			writeConfiguration(t, f.name, c)
			f.looks()
			if len(f.targets()) != 1 {
				t.Error("what needs no restart was not taken")
			}
			write(t, f.name, "{")
			renews("two")
		})
	}
}
