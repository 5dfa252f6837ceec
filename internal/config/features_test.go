package config

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/component-base/featuregate"
)

func TestGates(t *testing.T) {
	known := map[featuregate.Feature]featuregate.FeatureSpec{
		"Young": {Default: false, PreRelease: featuregate.Alpha},
		"Older": {Default: true, PreRelease: featuregate.Beta},
		"Fixed": {Default: true, PreRelease: featuregate.GA, LockToDefault: true},
	}
	gates, err := Gates(known, map[string]bool{"Young": true, "Older": false})
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[featuregate.Feature]bool{"Young": true, "Older": false, "Fixed": true} {
		if got := gates.Enabled(name); got != want {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
	if gates, err = Gates(known, map[string]bool{"AllAlpha": true}); err != nil || !gates.Enabled("Young") {
		t.Errorf("AllAlpha opens Young: %v", err)
	}
	if _, err := Gates(known, map[string]bool{"Yonug": true}); err == nil {
		t.Error("an unknown gate was set")
	}

	errs := validateGates(field.NewPath("featureGates"), known, map[string]bool{"Yonug": true, "Fixed": false, "Older": false})
	want := []string{`featureGates[Fixed]: Invalid value: false: `, `featureGates[Yonug]: Forbidden: there is no such feature gate; did you mean "Young"?`}
	if len(errs) != len(want) {
		t.Fatalf("got %v", errs)
	}
	for i, w := range want {
		if !strings.HasPrefix(errs[i].Error(), w) {
			t.Errorf("got %s, want %s", errs[i], w)
		}
	}
}

func TestSuggest(t *testing.T) {
	known := []string{"kubeconfig", "context", "workspaces"}
	for word, want := range map[string]string{
		"kubeConfig": `did you mean "kubeconfig"?`, "workspace": `did you mean "workspaces"?`, "contxet": `did you mean "context"?`,
		"x": "known are: kubeconfig, context, workspaces", "": "known are: kubeconfig, context, workspaces",
	} {
		if got := suggest(word, known); got != want {
			t.Errorf("%q: got %s, want %s", word, got, want)
		}
	}
	if got := suggest("x", nil); got != "there are none yet" {
		t.Error(got)
	}
}
