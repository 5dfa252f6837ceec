package discovery

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	kt "github.com/upstreamd/upstreamd/internal/kube/kubetest"
	"github.com/upstreamd/upstreamd/internal/kube/lean"
	"github.com/upstreamd/upstreamd/internal/memapi"
	"github.com/upstreamd/upstreamd/internal/ref"
)

const good = `{"apiVersion":"v1","kind":"Config","current-context":"c","contexts":[{"name":"c","context":{"cluster":"c","user":"u"}}],
	"clusters":[{"name":"c","cluster":{"server":"https://east:6443"}}],"users":[{"name":"u","user":{"token":"canary"}}]}`

func secret(t *testing.T, name string, data map[string]string) []byte {
	t.Helper()
	encoded := map[string]string{}
	for k, v := range data {
		encoded[k] = base64.StdEncoding.EncodeToString([]byte(v))
	}
	return encode(t, map[string]any{"metadata": map[string]any{"name": name, "namespace": "keys"}, "data": encoded})
}

func syncTarget(t *testing.T, name string, annotations map[string]any, spec, status map[string]any) []byte {
	t.Helper()
	return encode(t, map[string]any{"metadata": map[string]any{"name": name, "uid": "uid-" + name, "annotations": annotations}, "spec": spec, "status": status})
}

func encode(t *testing.T, v any) []byte {
	t.Helper()
	out, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func named(secret string) map[string]any { return map[string]any{SecretAnnotation: secret} }

// TestRead: an object and its Secret are read; errors name the mistake, and never the content of the Secret.
func TestRead(t *testing.T) {
	v := newView("keys", nil, nil)
	v.secrets.objects = map[string][]byte{
		"good":  secret(t, "good", map[string]string{"kubeconfig": good}),
		"empty": secret(t, "empty", map[string]string{"kubeconfig": " "}),
		"exec":  secret(t, "exec", map[string]string{"kubeconfig": strings.Replace(good, `"token":"canary"`, `"token":"canary","exec":{"command":"canary"}`, 1)}),
		"plain": secret(t, "plain", map[string]string{"kubeconfig": strings.Replace(good, "https://east", "http://east", 1)}),
		"odd":   []byte(`{"data":{"kubeconfig":"%canary"}}`),
	}
	for name, c := range map[string]struct {
		annotations map[string]any
		want        string // in the error; empty: there is none
	}{
		"good":              {named("keys/good"), ""},
		"nothing-named":     {nil, "no annotation " + SecretAnnotation},
		"another-namespace": {named("kube-system/good"), "no Secret of another namespace"},
		"no-namespace":      {named("good"), "must be keys/<name>"},
		"no-name":           {named("keys/"), "must be keys/<name>"},
		"a-longer-path":     {named("keys/a/good"), "there is no Secret keys/a/good"},
		"missing":           {named("keys/missing"), "there is no Secret keys/missing"},
		"empty":             {named("keys/empty"), "has no key kubeconfig"},
		"a-program":         {named("keys/exec"), "exec"},
		"no-https":          {named("keys/plain"), "server"},
		"no-base64":         {named("keys/odd"), "cannot be read"},
	} {
		t.Run(name, func(t *testing.T) {
			v.objects.objects[name] = syncTarget(t, name, c.annotations, nil, nil)
			got := v.read(name)
			if string(got.UID) != "uid-"+name {
				t.Errorf("uid %q", got.UID)
			}
			if c.want == "" {
				if got.Err != nil || got.Config == nil || got.Config.Host != "https://east:6443" || string(got.Content) != good {
					t.Errorf("got %+v", got)
				}
				return
			}
			if got.Config != nil || got.Err == nil || !strings.Contains(got.Err.Error(), c.want) || strings.Contains(got.Err.Error(), "canary") {
				t.Errorf("got %v, %v; want %q", got.Config, got.Err, c.want)
			}
		})
	}
	at := time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC)
	annotations := named("keys/good")
	annotations[WorkspacesAnnotation], annotations[clusterAnnotation] = " root:a, root:b,,root:a", "abc"
	v.objects.objects["full"] = syncTarget(t, "full", annotations, map[string]any{"unschedulable": true, "evictAfter": at.Format(time.RFC3339)},
		map[string]any{"conditions": []any{map[string]any{"type": "Ready", "status": "False"}}})
	got := v.read("full")
	if got.Cluster != "abc" || strings.Join(got.Workspaces, " ") != "root:a root:b" || !got.Unschedulable || !got.EvictAfter.Equal(at) || got.Ready != metav1.ConditionFalse {
		t.Errorf("got %+v", got)
	}
	v.objects.objects["broken"] = []byte(`{"spec":[]}`)
	if got := v.read("broken"); got.Err == nil {
		t.Errorf("got %+v", got)
	}
}

// Only events that concern a SyncTarget parse it again, and only changes are emitted.
func TestOnlyWhatChangedIsReadAndTold(t *testing.T) {
	var told []map[string]SyncTarget
	v := newView("keys", func(all map[string]SyncTarget) { told = append(told, all) }, nil)
	target := func(name string, spec, status map[string]any) *ref.Object {
		return &ref.Object{Name: name, Raw: syncTarget(t, name, named("keys/"+name), spec, status)}
	}
	config := func(name, content string) *ref.Object {
		return &ref.Object{Name: name, Raw: secret(t, name, map[string]string{"kubeconfig": content})}
	}
	for _, step := range []struct {
		what    string
		kind    ref.EventType
		into    *collection
		objects []*ref.Object
		tells   bool
		rereads string // names of those with a Config of their own anew
	}{
		{"objects", ref.Listed, v.objects, []*ref.Object{target("east", nil, nil), target("west", nil, nil)}, false, ""},
		{"Secrets", ref.Listed, v.secrets, []*ref.Object{config("east", good), config("west", good)}, true, "east west"},
		{"the same objects", ref.Listed, v.objects, []*ref.Object{target("east", nil, nil), target("west", nil, nil)}, false, ""},
		{"the same Secrets", ref.Listed, v.secrets, []*ref.Object{config("east", good), config("west", good)}, false, ""},
		{"a heartbeat", ref.Changed, v.objects, []*ref.Object{target("east", nil, map[string]any{"lastSyncerHeartbeatTime": "now"})}, false, "east"},
		{"another Secret", ref.Changed, v.secrets, []*ref.Object{config("other", good)}, false, ""},
		{"nobody knows what", ref.Changed, v.objects, []*ref.Object{{Err: errNoDocument}}, false, ""},
		{"unschedulable", ref.Changed, v.objects, []*ref.Object{target("west", map[string]any{"unschedulable": true}, nil)}, true, "west"},
		{"a kubeconfig", ref.Changed, v.secrets, []*ref.Object{config("east", good+" ")}, true, "east"},
		{"a Secret that goes", ref.Deleted, v.secrets, []*ref.Object{config("west", "")}, true, "west"},
		{"a Secret that cannot be read", ref.Changed, v.secrets, []*ref.Object{{Name: "west"}}, true, ""},
		{"an object that goes", ref.Deleted, v.objects, []*ref.Object{target("west", nil, nil)}, true, ""},
	} {
		before, said := maps.Clone(v.known), len(told)
		v.take(ref.Event{Type: step.kind, Version: "1", Objects: step.objects}, step.into)
		if tells := len(told) > said; tells != step.tells {
			t.Errorf("%s: told: %t", step.what, tells)
		}
		var rereads []string
		for _, name := range slices.Sorted(maps.Keys(v.known)) {
			if v.known[name].Config != before[name].Config {
				rereads = append(rereads, name)
			}
		}
		if got := strings.Join(rereads, " "); got != step.rereads {
			t.Errorf("%s: read again: %q", step.what, got)
		}
	}
	if all := told[len(told)-1]; len(all) != 1 || all["east"].Config == nil {
		t.Errorf("told at last: %v", all)
	}
	none := newView("keys", v.emit, nil)
	told = nil
	none.take(ref.Event{Type: ref.Listed}, none.objects)
	none.take(ref.Event{Type: ref.Listed}, none.secrets)
	if len(told) != 1 || len(told[0]) != 0 {
		t.Errorf("of none at all: told %v", told)
	}
}

// Nothing is emitted before both kinds are listed; then every change of either is.
func TestWatchOfObjectsAndSecrets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := memapi.New(memapi.Options{Name: "hub", Resources: memapi.KCP()})
		defer api.Close()
		hub := api.Cluster("")
		refused := make(chan bool, 1)
		refused <- true
		s := server(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			away := <-refused
			refused <- away
			if away && strings.Contains(r.URL.Path, "/secrets") {
				kt.Status(http.StatusForbidden, "Forbidden")(w, r)
				return
			}
			api.ServeHTTP(w, r)
		}), "")
		var told []string
		failures := 0
		watch := SyncTargets{Server: s, SecretNamespace: "keys", Settings: lean.Settings{Backoff: lean.Backoff{Initial: time.Second, Max: time.Second}}}
		stop := kt.Run(t, func(ctx context.Context) {
			watch.Watch(ctx, func(all map[string]SyncTarget) {
				line := ""
				for name, found := range all {
					line += fmt.Sprintf("%s %v;", name, found.Err == nil)
				}
				told = append(told, line)
			}, func(error) { failures++ })
		})
		create := func(r ref.Resource, body []byte) {
			t.Helper()
			if _, err := hub.Create(r, body); err != nil {
				t.Fatal(err)
			}
		}
		create(ref.Resource{Version: "v1", Resource: "namespaces"}, []byte(`{"metadata":{"name":"keys"}}`))
		create(syncTargets, syncTarget(t, "east", named("keys/east"), nil, nil))
		time.Sleep(5 * time.Second)
		synctest.Wait()
		if len(told) != 0 || failures == 0 {
			t.Fatalf("before the Secrets are listed: told %q, %d failures", told, failures)
		}
		<-refused
		refused <- false
		time.Sleep(5 * time.Second)
		create(secrets, secret(t, "east", map[string]string{"kubeconfig": good}))
		time.Sleep(time.Second)
		if err := hub.Delete(secrets, "keys", "east"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if err := hub.Delete(syncTargets, "", "east"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		stop()
		if got := strings.Join(told, " | "); got != "east false; | east true; | east false; | " {
			t.Errorf("told %q", got)
		}
	})
}
