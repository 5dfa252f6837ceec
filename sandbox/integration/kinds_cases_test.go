package integration

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/yaml"
)

// kind is a case file: an object of one kind, and the statuses of its copies, step by step. The file is named after the resource. It holds
//
//	crd.yaml                 for a kind that is not built into API servers
//	object.yaml              the object, as its user creates it
//	edit.yaml                a merge patch by the user before the first copy, so that the generations of object and copies differ
//	cluster/<target>.yaml    an additional object in a SyncTarget, in the namespace of the copy
//	<step>/<target>.yaml     the status that a controller writes to the copy; those of other SyncTargets stay
//	<step>/<target>.delete   the copy is deleted
//	<step>/want.yaml         the published status after the step; null is absent, and the time of the summary condition may be any
//	withdrawn.yaml           the published status after the last copy is deleted
type kind struct {
	name      string
	resource  schema.GroupVersionResource
	crd       *unstructured.Unstructured
	object    *unstructured.Unstructured
	edit      []byte
	owns      map[string]*unstructured.Unstructured
	steps     []*step
	withdrawn map[string]any
}

type step struct {
	name    string
	reports []statusReport
	delete  []string
	want    map[string]any
}

// statusReport is the status that one SyncTarget's controller writes.
type statusReport struct {
	target string
	status map[string]any
}

func readKinds(t *testing.T) []*kind {
	t.Helper()
	files, err := filepath.Glob("testdata/kinds/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatal("no case files: ", err)
	}
	var kinds []*kind
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		k := &kind{name: strings.TrimSuffix(filepath.Base(file), ".txtar"), owns: map[string]*unstructured.Unstructured{}}
		for _, f := range txtar.Parse(data).Files {
			if err := k.read(f); err != nil {
				t.Fatalf("%s: %s: %v", file, f.Name, err)
			}
		}
		version, err := schema.ParseGroupVersion(k.object.GetAPIVersion())
		if err != nil {
			t.Fatal(err)
		}
		resource, _, _ := strings.Cut(k.name, "-")
		k.resource = version.WithResource(resource)
		kinds = append(kinds, k)
	}
	return kinds
}

func (k *kind) read(f txtar.File) error {
	folder, file, inFolder := strings.Cut(f.Name, "/")
	target, isStatus := strings.CutSuffix(file, ".yaml")
	content := map[string]any{}
	encoded, err := yaml.YAMLToJSON(f.Data)
	if err == nil && strings.HasSuffix(f.Name, ".yaml") && len(strings.TrimSpace(string(encoded))) > 0 {
		u := &unstructured.Unstructured{}
		// The decoder of objects distinguishes integers from floats, as clients do. It requires a kind, which a status lacks.
		if err = u.UnmarshalJSON([]byte(`{"kind":"x","content":` + string(encoded) + `}`)); err == nil {
			content, _ = u.Object["content"].(map[string]any)
		}
	}
	switch {
	case err != nil:
		return err
	case f.Name == "crd.yaml":
		k.crd = &unstructured.Unstructured{Object: content}
	case f.Name == "object.yaml":
		k.object = &unstructured.Unstructured{Object: content}
	case f.Name == "edit.yaml":
		k.edit = encoded
	case f.Name == "withdrawn.yaml":
		k.withdrawn = content
		if content == nil {
			k.withdrawn = map[string]any{}
		}
	case folder == "cluster":
		k.owns[target] = &unstructured.Unstructured{Object: content}
	case !inFolder:
		return errors.New("unknown file name in a case file")
	default:
		if len(k.steps) == 0 || k.steps[len(k.steps)-1].name != folder {
			k.steps = append(k.steps, &step{name: folder})
		}
		s := k.steps[len(k.steps)-1]
		switch {
		case !isStatus:
			s.delete = append(s.delete, strings.TrimSuffix(file, ".delete"))
		case target == "want":
			s.want = content
		default:
			s.reports = append(s.reports, statusReport{target, content})
		}
	}
	return nil
}
