package integration

import (
	"testing"

	"github.com/upstreamd/upstreamd/internal/memapi/contract"
	"github.com/upstreamd/upstreamd/sandbox"
	"github.com/upstreamd/upstreamd/sandbox/sandboxtest"
)

// What memapi answers is what a real server answers: the same cases run there, in internal/memapi.
func TestContractOfAKubeAPIServer(t *testing.T) {
	s := sandboxtest.Start(t, sandbox.Options{SyncTargets: []string{"contract"}})
	contract.Run(t, contract.Server{Config: s.SyncTarget("contract").Config(), BuiltIn: true})
}
