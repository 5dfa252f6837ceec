package memapi_test

import (
	"testing"

	"k8s.io/client-go/rest"

	"github.com/upstreamd/upstreamd/internal/memapi"
	"github.com/upstreamd/upstreamd/internal/memapi/contract"
)

// differs are the cases in which a plain memapi answers otherwise than a real server, on purpose.
var differs = map[string]string{
	"server-side apply on status merges with other owners": "nothing here applies; a client that tried would get 415",
	"a JSON patch with a failing test is invalid":          "nothing here sends JSON patches; a client that tried would get 415",
}

func TestContractOfAPlainServer(t *testing.T) {
	s := memapi.New(memapi.Options{})
	defer s.Close()
	contract.Run(t, contract.Server{Config: s.Config(), BuiltIn: true, Differs: differs})
}

func TestContractOfAKCP(t *testing.T) {
	s := memapi.New(memapi.Options{Resources: append(memapi.KCP(), memapi.Resource{
		GroupVersionResource: contract.Gadgets, Kind: "Gadget", Namespaced: true, Status: true,
	})})
	defer s.Close()
	s.AddWorkspace("1provider", "root:provider")
	s.AddExport("1provider", "gadgets", contract.Gadgets)
	a, b := contract.Workspace{Name: "1a", Path: "root:team-a"}, contract.Workspace{Name: "1b", Path: "root:team-b"}
	for _, w := range []contract.Workspace{a, b} {
		s.AddWorkspace(w.Name, w.Path)
		s.Bind(w.Name, "1provider", "gadgets")
	}
	config := rest.CopyConfig(s.Config())
	config.Host += "/clusters/1provider"
	contract.Run(t, contract.Server{Config: config, Differs: differs, Workspaces: &contract.Workspaces{
		Config: s.Config(), A: a, B: b, Virtual: s.ExportURL("1provider", "gadgets"),
	}})
}
