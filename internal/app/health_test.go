package app

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/upstreamd/upstreamd/internal/config"
)

// TestHealthHasAListenerOfItsOwn: under load on the main listener, and with silent clients on health's own, a probe is answered in time.
func TestHealthHasAListenerOfItsOwn(t *testing.T) {
	_, address := serveOn(t, "127.0.0.1:0", map[string]string{"root:team-a": "abc"})
	c := configure(t, address, unreachable(t))
	a, err := New(c, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	main, health := a.Address(ctx), a.HealthAddress(ctx)
	if main == nil || health == nil || main.String() == health.String() {
		t.Fatalf("metrics at %v, health at %v", main, health)
	}
	for _, at := range []string{main.String(), health.String()} {
		for range 300 {
			conn, err := net.Dial("tcp", at)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = conn.Close() }()
		}
	}
	probe := &http.Client{Timeout: time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	get := func(url string) int {
		resp, err := probe.Get(url)
		if err != nil {
			t.Error(err)
			return 0
		}
		_ = resp.Body.Close()
		return resp.StatusCode
	}
	for range 5 {
		if code := get(fmt.Sprintf("http://%s/livez", health)); code != http.StatusOK {
			t.Errorf("health: %d", code)
		}
		if code := get(fmt.Sprintf("http://%s/livez", main)); code != http.StatusOK {
			t.Errorf("main: %d", code)
		}
	}
	if code := get(fmt.Sprintf("http://%s/metrics", health)); code != http.StatusNotFound {
		t.Errorf("metrics at the health listener: %d", code)
	}
}

// TestHealthMayBeOff: a listener that the configuration turns off is not opened; a port in use stops the start.
func TestHealthMayBeOff(t *testing.T) {
	for name, tc := range map[string]struct {
		serving      config.Serving
		main, health bool
		fails        bool
	}{
		"nothing":     {serving: config.Serving{}},
		"health only": {serving: config.Serving{Health: &config.Health{Address: "127.0.0.1:0"}}, health: true},
		"main only":   {serving: config.Serving{Address: "127.0.0.1:0", Health: &config.Health{}}, main: true},
		"taken":       {serving: config.Serving{Address: "127.0.0.1:0", Health: &config.Health{Address: taken(t)}}, fails: true},
	} {
		t.Run(name, func(t *testing.T) {
			c := configure(t, unreachable(t), unreachable(t))
			c.Serving = tc.serving
			a, err := New(c, zerolog.Nop())
			if err != nil {
				t.Fatal(err)
			}
			stop, err := a.serve(t.Context())
			if (err != nil) != tc.fails {
				t.Fatal(err)
			}
			if err != nil {
				return
			}
			if (a.Address(t.Context()) != nil) != tc.main || (a.HealthAddress(t.Context()) != nil) != tc.health {
				t.Errorf("main %v, health %v", a.address, a.healthAddress)
			}
			if err := stop(); err != nil {
				t.Error(err)
			}
		})
	}
}

func taken(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l.Addr().String()
}
