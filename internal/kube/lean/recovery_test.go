package lean

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/upstreamd/upstreamd/internal/kube/client"
	kt "github.com/upstreamd/upstreamd/internal/kube/kubetest"
	"github.com/upstreamd/upstreamd/internal/ref"
)

// TestRecovery: a watch of a server that cannot be reached backs off. It goes on at once when any call reaches the server again, or
// when it is woken.
func TestRecovery(t *testing.T) {
	for name, tc := range map[string]struct {
		wake func(*client.Conn, *atomic.Bool)
		want []time.Duration // when connections were asked for
	}{
		"by itself": {
			wake: func(_ *client.Conn, away *atomic.Bool) { away.Store(false) },
			want: seconds(0, 1, 3, 7, 15, 31, 61),
		},
		"by another call": {
			wake: func(conn *client.Conn, away *atomic.Bool) {
				away.Store(false)
				resp, err := conn.Do(context.Background(), client.Request{Path: "/readyz"})
				if err == nil {
					client.Drain(resp.Body)
				}
			},
			want: seconds(0, 1, 3, 7, 15, 31, 40), // its own connection, which the watch then uses
		},
		"by Wake": {
			wake: func(conn *client.Conn, away *atomic.Bool) { away.Store(false); conn.Wake() },
			want: seconds(0, 1, 3, 7, 15, 31, 40),
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var away atomic.Bool
				away.Store(true)
				start := time.Now()
				var mu sync.Mutex
				var dialed []time.Duration
				cfg := kt.Memory(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if r.URL.Path == "/readyz" {
						kt.JSON(200, "{}")(w, r)
						return
					}
					kt.Watch(kt.Event("ADDED", a1), kt.InitialEnd(3))(w, r)
				}))
				dial := cfg.Dial
				cfg.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
					mu.Lock()
					dialed = append(dialed, time.Since(start))
					mu.Unlock()
					if away.Load() {
						return nil, &net.OpError{Op: "dial", Err: errors.New("connection refused")}
					}
					return dial(ctx, network, address)
				}
				conn, err := client.New(cfg, client.Options{})
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				r := kt.NewRecorder()
				stop := kt.Run(t, func(ctx context.Context) {
					NewSource(conn, "/x", ref.Want{}, Settings{Backoff: Backoff{Initial: time.Second, Max: 30 * time.Second}}, nil).Watch(ctx, r.Emit)
				})
				time.Sleep(40 * time.Second)
				tc.wake(conn, &away)
				time.Sleep(40 * time.Second)
				mu.Lock()
				defer mu.Unlock()
				if diff := cmp.Diff(slices.Compact(tc.want), slices.Compact(dialed)); diff != "" {
					t.Errorf("(-want +got)\n%s", diff)
				}
				if all := r.All(); all[len(all)-1] != "Listed ns/a@1" {
					t.Errorf("%q", all)
				}
				stop()
			})
		})
	}
}

// TestWakeLeavesWhatIsFirm: a quarantine and a server's Retry-After are not cut short by a server that answers.
func TestWakeLeavesWhatIsFirm(t *testing.T) {
	for name, tc := range map[string]struct {
		step http.HandlerFunc
		want []time.Duration
	}{
		"Retry-After": {
			step: func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Retry-After", "30")
				kt.Status(429, "TooManyRequests")(w, r)
			},
			want: seconds(0, 30, 60),
		},
		"quarantine": {step: kt.Watch(eventsOf("ADDED", bulk(0, 9, 10)...)...), want: seconds(0, 30, 60)},
		"a refusal":  {step: kt.Status(403, "Forbidden"), want: seconds(0, 10, 11, 21, 31, 41, 51, 61)},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				var at []time.Duration
				_, conn := source(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					at = append(at, time.Since(start).Truncate(100*time.Millisecond))
					tc.step(w, r)
				}), ref.Want{}, Settings{Limits: Limits{Objects: 3}, Quarantine: Backoff{Initial: 30 * time.Second, Max: 30 * time.Second}})
				time.Sleep(11 * time.Second)
				conn.Wake()
				time.Sleep(54 * time.Second)
				synctest.Wait()
				if diff := cmp.Diff(tc.want, at); diff != "" {
					t.Errorf("(-want +got)\n%s", diff)
				}
			})
		})
	}
}

// TestAServerThatFlaps: one that answers some calls and breaks others is not called without a pause.
func TestAServerThatFlaps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int32
		_, conn := source(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/readyz" {
				kt.JSON(200, "{}")(w, r)
				return
			}
			calls.Add(1)
			panic(http.ErrAbortHandler)
		}), ref.Want{}, Settings{})
		for range 3000 {
			resp, err := conn.Do(t.Context(), client.Request{Path: "/readyz"})
			if err == nil {
				client.Drain(resp.Body)
			}
			time.Sleep(20 * time.Millisecond)
		}
		if n := calls.Load(); n > 250 { // net/http repeats each on a new connection
			t.Errorf("%d calls in a minute", n)
		}
	})
}

// TestListsAtATime: no more lists than allowed are under way at one server and in the process, streaming or not; a list that goes on
// for long leaves its place in the process to others; watches that resume are not held up.
func TestListsAtATime(t *testing.T) {
	for _, streaming := range []bool{true, false} {
		t.Run(fmt.Sprint("streaming ", streaming), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var mu sync.Mutex
				now, most := map[string]int{}, map[string]int{}
				change := func(server string, by int) {
					mu.Lock()
					defer mu.Unlock()
					for _, of := range []string{server, "all"} {
						now[of] += by
						most[of] = max(most[of], now[of])
					}
				}
				process := NewLists(6, 30*time.Second)
				var recorders []*kt.Recorder
				for i := range 4 {
					name := fmt.Sprint("server", i)
					conn, err := client.New(kt.Memory(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
						q := r.URL.Query()
						switch {
						case q.Has("watch") && !q.Has("sendInitialEvents"):
							kt.Watch(kt.Event("MODIFIED", a2))(w, r)
							return
						case q.Has("watch") && !streaming:
							kt.NoStreamingLists(w, r)
							return
						}
						change(name, 1)
						kt.Sleep(r, 2*time.Second)
						change(name, -1)
						if q.Has("watch") {
							kt.Watch(kt.Event("ADDED", a1), kt.InitialEnd(3))(w, r)
							return
						}
						kt.List("7", "", a1)(w, r)
					})), client.Options{})
					if err != nil {
						t.Fatal(err)
					}
					defer conn.Close()
					settings := Settings{ServerLists: NewLists(2, 0), ProcessLists: process}
					for range 5 {
						r := kt.NewRecorder()
						recorders = append(recorders, r)
						defer kt.Run(t, func(ctx context.Context) { NewSource(conn, "/x", ref.Want{}, settings, nil).Watch(ctx, r.Emit) })()
					}
				}
				time.Sleep(time.Minute)
				synctest.Wait()
				if diff := cmp.Diff(map[string]int{"server0": 2, "server1": 2, "server2": 2, "server3": 2, "all": 6}, most); diff != "" {
					t.Errorf("most at a time (-want +got)\n%s", diff)
				}
				for i, r := range recorders {
					if all := r.All(); len(all) < 1 || all[0] != "Listed ns/a@1" {
						t.Errorf("watch %d: %q", i, all)
					}
				}
			})
		})
	}
}

// TestASlowListLeavesItsPlace: after its time, a list holds no slot.
func TestASlowListLeavesItsPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := NewLists(1, 30*time.Second)
		first, err := l.begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		begun := time.Now()
		second, err := l.begin(t.Context())
		if took := time.Since(begun); err != nil || took != 30*time.Second {
			t.Errorf("the second began after %v, %v", took, err)
		}
		first()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := l.begin(ctx); err == nil {
			t.Error("a slot that had been left was given back twice")
		}
		second()
		third, err := l.begin(t.Context())
		if err != nil {
			t.Error(err)
		}
		third()
	})
}
