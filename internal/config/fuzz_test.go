package config_test

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/upstreamd/upstreamd/internal/config"
)

// FuzzLoad: for any file there is an error with a field, or a configuration that prints as one that loads the same.
func FuzzLoad(f *testing.F) {
	f.Add([]byte(least))
	f.Add([]byte(config.Example()))
	f.Add([]byte(least + "locators: [null, {}, 5]\nwriter: []\n"))
	f.Add([]byte(least + "debounce: {quiet: 1e3s, maxWait: 9999999h}\nfeatureGates: {AllBeta: true}"))
	f.Add([]byte("{}\n---\n{}"))
	f.Add([]byte("a: &a [*a]"))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := config.Parse("fuzz.yaml", data, "/base")
		if err != nil {
			var invalid *config.InvalidError
			if c != nil || !errors.As(err, &invalid) || len(invalid.Errors) == 0 {
				t.Fatalf("got %v with %v", c, err)
			}
			for _, e := range invalid.Errors {
				if e.Field == "" || e.Error() == "" {
					t.Errorf("an error without a field or a text: %#v", e)
				}
			}
			return
		}
		printed, err := config.Print(c)
		if err != nil {
			t.Fatal(err)
		}
		again, err := config.Parse("printed.yaml", printed, "/elsewhere")
		if err != nil {
			t.Fatalf("what loaded does not load again: %v\n%s", err, printed)
		}
		if diff := cmp.Diff(c, again, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("printing changed it: -loaded +printed\n%s", diff)
		}
	})
}
