package wire_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/upstreamd/upstreamd/bench/fleet"
	"github.com/upstreamd/upstreamd/bench/wire"
)

// BenchmarkPatch is a status patch through memory: what it takes is not the subject's.
func BenchmarkPatch(b *testing.B) {
	shape := fleet.Shape{Objects: 1000, Copies: 1, SyncTargets: 1}
	client := &http.Client{Transport: wire.New(shape).Upstream().Transport}
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		name := shape.Upstream(n % shape.Objects)
		body := fmt.Sprintf(`{"status":%s}`, shape.AppendStatus(nil, n))
		r, err := http.NewRequest(http.MethodPatch, "http://upstream/apis/apps/v1/namespaces/"+name.Namespace+"/deployments/"+name.Name+"/status", strings.NewReader(body))
		if err != nil {
			b.Fatal(err)
		}
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
}

// BenchmarkEvent is an event of a SyncTarget, drawn as in a list.
func BenchmarkEvent(b *testing.B) {
	shape := fleet.Shape{Objects: 1000, Copies: 1, SyncTargets: 1}
	var room []byte
	n := 0
	for b.Loop() {
		var status [2048]byte
		room = fleet.Body{
			Name: shape.Downstream(n % 1000), UID: 7, Version: 8, Managers: fleet.Controller, Status: shape.AppendStatus(status[:0], n),
		}.Append(room[:0])
		n++
	}
	b.SetBytes(int64(len(room)))
}
