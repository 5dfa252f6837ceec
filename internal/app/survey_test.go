package app

import (
	"fmt"
	"net/http"
	"testing"
	"testing/synctest"

	"github.com/upstreamd/upstreamd/internal/kube/downstream"
	kt "github.com/upstreamd/upstreamd/internal/kube/kubetest"
	"github.com/upstreamd/upstreamd/internal/kube/upstream"
)

// TestSurveyPastServersThatHang: servers that never answer do not use up the time of those that do.
func TestSurveyPastServersThatHang(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		answers := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			kt.JSON(200, `{"kind":"APIGroupDiscoveryList","items":[]}`)(w, r)
		})
		up, err := upstream.New(kt.Memory(t, answers), upstream.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer up.Close()
		clients := map[string]*downstream.Client{}
		for i := range 200 {
			server := http.HandlerFunc(kt.Mute)
			if i%20 == 0 {
				server = answers
			}
			c, err := downstream.New(kt.Memory(t, server), downstream.Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			clients[fmt.Sprint(i)] = c
		}
		a := &App{upstream: up}
		s := a.survey(t.Context(), clients)
		if len(s.targets) != 10 || len(s.upstream) != 1 || s.err == nil {
			t.Errorf("%d SyncTargets and %d workspaces answered, error %v", len(s.targets), len(s.upstream), s.err)
		}
	})
}
