package wire_test

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/upstreamd/upstreamd/bench/fleet"
	"github.com/upstreamd/upstreamd/bench/wire"
	"github.com/upstreamd/upstreamd/internal/memapi"
)

// These compare wire with memapi, which does the same and more: the CPU time that a server takes of a machine that measures its client, and
// the memory that it holds. docs/decisions draws the conclusion.

// plain is a world without logical clusters, with as many objects as copies.
func plain(objects int) fleet.Shape {
	return fleet.Shape{Objects: objects, Copies: 1, SyncTargets: 1, Namespaces: 1}
}

// filled is a memapi server with the objects of a shape: upstream's, or the copies.
func filled(tb testing.TB, shape fleet.Shape, nameOf func(int) fleet.Name) *memapi.Server {
	tb.Helper()
	s := memapi.New(memapi.Options{Resources: memapi.KCP()})
	tb.Cleanup(s.Close)
	cluster := s.Cluster("")
	for object := range shape.Objects {
		name := nameOf(object)
		_, _ = cluster.Create(schema.GroupVersionResource{Version: "v1", Resource: "namespaces"}, map[string]any{"metadata": map[string]any{"name": name.Namespace}}) // or it is there
		body := fleet.Body{Name: name, Managers: fleet.Controller, Status: []byte("{}")}.Append(nil)
		if _, err := cluster.Create(deployments, body); err != nil {
			tb.Fatal(err)
		}
		if _, err := cluster.UpdateStatus(deployments, name.Namespace, name.Name, shape.AppendStatus(nil, 0)); err != nil {
			tb.Fatal(err)
		}
	}
	return s
}

// BenchmarkPatch is a status patch through memory.
func BenchmarkPatch(b *testing.B) {
	shape := plain(1000)
	for name, transport := range map[string]http.RoundTripper{
		"wire":   wire.New(shape).Upstream().Transport,
		"memapi": filled(b, shape, shape.Upstream).Transport(),
	} {
		b.Run(name, func(b *testing.B) {
			client := &http.Client{Transport: transport}
			b.ReportAllocs()
			n, used := 0, cpu()
			for b.Loop() {
				name := shape.Upstream(n % shape.Objects)
				body := fmt.Sprintf(`{"status":%s}`, shape.AppendStatus(nil, n))
				url := "http://upstream/apis/apps/v1/namespaces/" + name.Namespace + "/deployments/" + name.Name + "/status?fieldManager=bench"
				r, err := http.NewRequest(http.MethodPatch, url, strings.NewReader(body))
				if err != nil {
					b.Fatal(err)
				}
				r.Header.Set("Content-Type", "application/merge-patch+json")
				resp, err := client.Do(r)
				if err != nil || resp.StatusCode != http.StatusOK {
					b.Fatal(resp, err)
				}
				if _, err := io.Copy(io.Discard, resp.Body); err != nil {
					b.Fatal(err)
				}
				_ = resp.Body.Close()
				n++
			}
			perCPU(b, n, cpu()-used)
		})
	}
}

// BenchmarkEvent is a change of a copy, drawn and read through a watch.
func BenchmarkEvent(b *testing.B) {
	shape := plain(1000)
	w := wire.New(shape)
	s := filled(b, shape, func(i int) fleet.Name { return shape.Downstream(i) })
	changes := 0 // memapi has no event of a status that stays as it is
	for _, server := range []struct {
		name      string
		transport http.RoundTripper
		url       string
		change    func(n int)
	}{
		{"wire", w.SyncTarget(0).Transport, w.SyncTarget(0).Host, func(n int) { w.Change(n % shape.Objects) }},
		{"memapi", s.Transport(), s.Config().Host, func(n int) {
			name := shape.Downstream(n % shape.Objects)
			changes++
			if _, err := s.Cluster("").UpdateStatus(deployments, name.Namespace, name.Name, shape.AppendStatus(nil, changes)); err != nil {
				b.Error(err)
			}
		}},
	} {
		b.Run(server.name, func(b *testing.B) {
			url := fmt.Sprintf("%s/apis/apps/v1/deployments?watch=true&resourceVersion=%d", server.url, s.ResourceVersion())
			r, err := http.NewRequestWithContext(b.Context(), http.MethodGet, url, nil)
			if err != nil {
				b.Fatal(err)
			}
			resp, err := server.transport.RoundTrip(r)
			if err != nil {
				b.Fatal(err)
			}
			defer resp.Body.Close()
			ahead, read := make(chan struct{}, 256), make(chan error, 1)
			go func() {
				lines := bufio.NewReaderSize(resp.Body, 1<<20)
				for range b.N {
					if _, err := lines.ReadSlice('\n'); err != nil {
						read <- err
						return
					}
					<-ahead
				}
				read <- nil
			}()
			b.ResetTimer()
			used := cpu()
			for n := range b.N {
				ahead <- struct{}{}
				server.change(n)
			}
			if err := <-read; err != nil {
				b.Fatal(err)
			}
			perCPU(b, b.N, cpu()-used)
		})
	}
}

// BenchmarkObject is the memory that a server holds of one object.
func BenchmarkObject(b *testing.B) {
	shape := plain(20_000)
	for name, start := range map[string]func() any{
		"wire":   func() any { return wire.New(shape) },
		"memapi": func() any { return filled(b, shape, func(i int) fleet.Name { return shape.Downstream(i) }) },
	} {
		b.Run(name, func(b *testing.B) {
			before := heap() // once, however often it is to be repeated
			server := start()
			b.ReportMetric(float64(heap()-before)/float64(shape.Objects), "B/object")
			runtime.KeepAlive(server)
		})
	}
}

func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// cpu is the CPU time of the process so far. Elapsed time says little on a shared machine.
func cpu() time.Duration {
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		return 0
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

func perCPU(b *testing.B, n int, used time.Duration) {
	b.Helper()
	b.ReportMetric(float64(used.Microseconds())/float64(n), "CPU-µs/op")
}
