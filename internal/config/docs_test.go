package config_test

import (
	"os"
	"strings"
	"testing"

	"github.com/upstreamd/upstreamd/internal/config"
)

// TestConfigurationsInTheDocsAreValid takes the complete configurations out of the pages that show some.
func TestConfigurationsInTheDocsAreValid(t *testing.T) {
	for _, page := range []string{"../../README.md", "../../docs/kcp.md"} {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		found := 0
		for _, block := range strings.Split(string(text), "```yaml\n")[1:] {
			block, _, _ = strings.Cut(block, "```")
			if !strings.Contains(block, "kind: "+config.Kind) {
				continue
			}
			found++
			if _, err := config.Parse(page, []byte(block), "/"); err != nil {
				t.Error(err)
			}
		}
		if found == 0 {
			t.Errorf("%s shows no configuration", page)
		}
	}
}
