package integration

import (
	"context"
	"os"
	"testing"
	"time"

	"github.com/upstreamd/upstreamd/internal/memapi/contract"
	"github.com/upstreamd/upstreamd/sandbox"
	"github.com/upstreamd/upstreamd/sandbox/kcp"
	"github.com/upstreamd/upstreamd/sandbox/sandboxtest"
)

// The contract cases of internal/memapi, the API server in memory, hold on real API servers too.

func TestContractOfAKubeAPIServer(t *testing.T) {
	s := sandboxtest.Start(t, sandbox.Options{SyncTargets: []string{"contract"}})
	contract.Run(t, contract.Server{Config: s.SyncTarget("contract").Config(), BuiltIn: true})
}

func TestContractOfAKCP(t *testing.T) {
	binary := os.Getenv(kcp.BinaryEnv)
	if binary == "" {
		t.Skipf("NOT TESTED: the contract cases on a real kcp. Set %s to the path of a kcp binary.", kcp.BinaryEnv)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	k, err := kcp.Start(ctx, binary, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer k.Stop(context.WithoutCancel(ctx))

	const export = "gadgets"
	added := map[string]contract.Workspace{}
	for _, name := range []string{"provider", "team-a", "team-b"} {
		w, err := k.AddWorkspace(ctx, name)
		if err != nil {
			t.Fatal(err)
		}
		added[name] = contract.Workspace(w)
	}
	provider := kcp.Workspace(added["provider"])
	if err := k.AddExport(ctx, provider, export, contract.Gadgets, "Gadget"); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"team-a", "team-b"} {
		if err := k.Bind(ctx, kcp.Workspace(added[name]), provider, export); err != nil {
			t.Fatal(err)
		}
	}
	virtual, err := k.ExportURL(ctx, provider, export)
	if err != nil {
		t.Fatal(err)
	}
	contract.Run(t, contract.Server{Config: k.WorkspaceConfig(provider.Path), Workspaces: &contract.Workspaces{
		Config: k.Config(), A: added["team-a"], B: added["team-b"], Virtual: virtual,
	}})
}
