package upstream

import (
	"context"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	kt "github.com/upstreamd/upstreamd/internal/kube/kubetest"
	"github.com/upstreamd/upstreamd/internal/ref"
)

// TestScopesComeFirst: whichever way workspaces are chosen, the set of scopes is known before anything is listed.
func TestScopesComeFirst(t *testing.T) {
	for name, tc := range map[string]struct {
		host string
		opts Options
		want []ref.Workspace
	}{
		"listed workspaces":      {opts: Options{Workspaces: []string{"b", "a", "b"}}, want: []ref.Workspace{"a", "b"}},
		"a workspace in the URL": {host: "/clusters/a", want: []ref.Workspace{"a"}},
		"a plain hub":            {want: []ref.Workspace{""}},
		"all of a server":        {opts: Options{Workspaces: []string{"*"}}, want: []ref.Workspace{"*"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cfg := kt.Memory(t, kt.Watch(kt.InitialEnd(1)))
				cfg.Host += tc.host
				c := connect(t, cfg, tc.opts)
				r := kt.NewRecorder()
				kt.Run(t, func(ctx context.Context) { c.Watch(ctx, kt.Deployments, ref.Want{}, r.Emit) })
				synctest.Wait()
				events := r.Events()
				if len(events) != 1+len(tc.want) || events[0].Type != ref.Scopes {
					t.Fatalf("got %q", r.All())
				}
				if diff := cmp.Diff(tc.want, events[0].Scopes); diff != "" {
					t.Errorf("(-want +got)\n%s", diff)
				}
			})
		})
	}
}

// TestScopesOfAnExport: the set follows the endpoints, each time as a whole.
func TestScopesOfAnExport(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKCP(t)
		consumer(t, k.Server, "aaa")
		v := watchInto(t, k.client(t, compute))
		synctest.Wait()
		k.publish(t, "http://"+firstURL, "http://"+nextURL)
		time.Sleep(time.Minute)
		k.publish(t, "http://"+nextURL)
		synctest.Wait()
		var got []string
		for _, line := range v.All() {
			if strings.HasPrefix(line, "Scopes") || strings.HasPrefix(line, "Listed") || strings.HasPrefix(line, "Left") {
				got = append(got, strings.NewReplacer(firstURL, "first", nextURL, "next").Replace(line))
			}
		}
		want := []string{
			`Scopes "*@first"`, "Listed in *@first: aaa|default/same",
			`Scopes "*@first" "*@next"`, "Listed in *@next:",
			"Left in *@first:", `Scopes "*@next"`,
		}
		if !slices.EqualFunc(got, want, strings.HasPrefix) {
			t.Errorf("got %q", got)
		}
	})
}
