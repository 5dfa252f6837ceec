package memapi_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/upstreamd/upstreamd/internal/memapi"
)

var deployments = schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "deployments"}

// deploymentSpec makes a Deployment of about 6 KB, as they are in practice.
func deploymentSpec(name string) []byte {
	return fmt.Appendf(nil, `{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":%q,"namespace":"default","labels":{"app":"a"}},`+
		`"spec":{"replicas":3,"selector":{"matchLabels":{"app":"a"}},"template":{"metadata":{"labels":{"app":"a"},"annotations":{"filler":%q}},`+
		`"spec":{"containers":[{"name":"c","image":"i","env":[{"name":"A","value":"b"}]}]}}}}`, name, strings.Repeat("x", 5000))
}

const conditions = `"conditions":[{"type":"Available","status":"True","reason":"MinimumReplicasAvailable","message":"Deployment has minimum availability.","lastUpdateTime":"2026-01-01T00:00:00Z","lastTransitionTime":"2026-01-01T00:00:00Z"},{"type":"Progressing","status":"True","reason":"NewReplicaSetAvailable","message":"ReplicaSet has successfully progressed.","lastUpdateTime":"2026-01-01T00:00:00Z","lastTransitionTime":"2026-01-01T00:00:00Z"}]`

func deploymentStatus(n int) []byte {
	return fmt.Appendf(nil, `{"observedGeneration":%d,"replicas":3,"readyReplicas":%d,"updatedReplicas":3,%s}`, n+1, n%4, conditions)
}

// kinds are the two ways in which Deployments are served.
var kinds = map[string][]memapi.Resource{"typed": memapi.Kubernetes(), "custom": memapi.KCP()}

// BenchmarkEvents is a status written by a load generator, on its way through one watch to a client that only counts lines.
func BenchmarkEvents(b *testing.B) {
	for name, resources := range kinds {
		b.Run(name, func(b *testing.B) {
			s := memapi.New(memapi.Options{Resources: resources})
			defer s.Close()
			cluster := s.Cluster("")
			for i := range 100 {
				if _, err := cluster.Create(deployments, deploymentSpec(fmt.Sprint("d", i))); err != nil {
					b.Fatal(err)
				}
			}
			resp := request(b, s, http.MethodGet, fmt.Sprintf("/apis/apps/v1/deployments?watch=true&resourceVersion=%d", s.ResourceVersion()), "")
			defer func() { _ = resp.Body.Close() }()
			lines := bufio.NewReaderSize(resp.Body, 1<<20)
			seen := make(chan int)
			ahead := make(chan struct{}, 8192) // not so far that the watch would be ended
			go func() {
				n := 0
				for ; n < b.N; n++ {
					if _, err := lines.ReadSlice('\n'); err != nil {
						break
					}
					<-ahead
				}
				seen <- n
			}()
			b.ResetTimer()
			used := cpu()
			for i := range b.N {
				ahead <- struct{}{}
				if _, err := cluster.UpdateStatus(deployments, "default", fmt.Sprint("d", i%100), deploymentStatus(i)); err != nil {
					b.Fatal(err)
				}
			}
			if n := <-seen; n != b.N {
				b.Fatalf("%d of %d events came", n, b.N)
			}
			perCPU(b, b.N, cpu()-used, "events")
		})
	}
}

// BenchmarkPatch is a status patch by a client, with managedFields.
func BenchmarkPatch(b *testing.B) {
	for name, resources := range kinds {
		b.Run(name, func(b *testing.B) {
			s := memapi.New(memapi.Options{Resources: resources})
			defer s.Close()
			for i := range 100 {
				if _, err := s.Cluster("").Create(deployments, deploymentSpec(fmt.Sprint("d", i))); err != nil {
					b.Fatal(err)
				}
			}
			if _, err := s.Cluster("").As("warm").UpdateStatus(deployments, "default", "d0", deploymentStatus(0)); err != nil { // loads schemas
				b.Fatal(err)
			}
			b.ReportAllocs()
			n, used := 0, cpu()
			for b.Loop() {
				path := fmt.Sprintf("/apis/apps/v1/namespaces/default/deployments/d%d/status?fieldManager=upstreamd", n%100)
				resp := request(b, s, http.MethodPatch, path, `{"status":`+string(deploymentStatus(n))+`}`)
				if resp.StatusCode != http.StatusOK {
					text, _ := io.ReadAll(resp.Body)
					b.Fatalf("%d %s", resp.StatusCode, text)
				}
				n++
			}
			perCPU(b, n, cpu()-used, "patches")
		})
	}
}

// cpu is the CPU time of the process so far. Elapsed time says little on a shared machine.
func cpu() time.Duration {
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		return 0
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

func perCPU(b *testing.B, n int, used time.Duration, unit string) {
	b.Helper()
	b.ReportMetric(float64(n)/used.Seconds(), unit+"/cpu-s")
}

func request(tb testing.TB, s *memapi.Server, method, path, body string) *http.Response {
	tb.Helper()
	r, err := http.NewRequestWithContext(tb.Context(), method, "http://memapi"+path, bytes.NewReader([]byte(body)))
	if err != nil {
		tb.Fatal(err)
	}
	if method == http.MethodPatch {
		r.Header.Set("Content-Type", "application/merge-patch+json")
	}
	resp, err := s.Transport().RoundTrip(r)
	if err != nil {
		tb.Fatal(err)
	}
	return resp
}
