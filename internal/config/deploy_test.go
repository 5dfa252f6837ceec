package config_test

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"

	"github.com/upstreamd/upstreamd/internal/config"
)

// manifests are the documents of deploy/, by kind and name.
func manifests(t *testing.T) map[string][]byte {
	t.Helper()
	files, err := filepath.Glob("../../deploy/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("%v: no manifests, %v", files, err)
	}
	found := map[string][]byte{}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		documents := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(content)))
		for {
			document, err := documents.Read()
			if errors.Is(err, io.EOF) {
				break
			}
			var o metav1.PartialObjectMetadata
			if err := errors.Join(err, yaml.Unmarshal(document, &o)); err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			found[o.Kind+" "+o.Name] = document
		}
	}
	return found
}

// manifest is one of them; a field that its kind does not have fails the test.
func manifest[T any](t *testing.T, all map[string][]byte, name string) *T {
	t.Helper()
	out := new(T)
	if err := yaml.UnmarshalStrict(all[name], out); err != nil || all[name] == nil {
		t.Fatalf("%s: %v", name, err)
	}
	return out
}

// TestManifests: the shipped manifests grant the least rights, and the kinds of the shipped configuration.
func TestManifests(t *testing.T) {
	all := manifests(t)
	rules := map[string][]rbacv1.PolicyRule{}
	for name := range all {
		switch {
		case strings.HasPrefix(name, "ClusterRole "):
			rules[name] = manifest[rbacv1.ClusterRole](t, all, name).Rules
		case strings.HasPrefix(name, "Role "):
			rules[name] = manifest[rbacv1.Role](t, all, name).Rules
		}
	}
	got := map[string][]string{}
	for name, of := range rules {
		for _, r := range of {
			for _, field := range [][]string{r.Verbs, r.APIGroups, r.Resources, r.NonResourceURLs} {
				if slices.ContainsFunc(field, func(v string) bool { return strings.Contains(v, "*") }) {
					t.Errorf("%s has a wildcard: %v", name, r)
				}
			}
			for _, verb := range r.Verbs {
				for _, resource := range slices.Concat(r.Resources, r.NonResourceURLs) {
					for _, object := range append(r.ResourceNames, "")[:max(1, len(r.ResourceNames))] {
						got[name] = append(got[name], strings.TrimSuffix(verb+" "+resource+" "+object, " "))
					}
				}
			}
		}
		slices.Sort(got[name])
	}

	c, err := config.Parse("deployment.yaml", []byte(manifest[corev1.ConfigMap](t, all, "ConfigMap upstreamd").Data["upstreamd.yaml"]), "/etc/upstreamd")
	if err != nil {
		t.Fatal(err)
	}
	want := map[string][]string{
		"ClusterRole upstreamd-metrics-reader": {"get /metrics"},
		"ClusterRole upstreamd-reviews":        {"create subjectaccessreviews", "create tokenreviews"},
		"Role upstreamd-lease":                 {"create leases", "get leases upstreamd", "update leases upstreamd"},
		"ClusterRole upstreamd-synctarget":     {"get namespaces", "list namespaces", "watch namespaces"},
	}
	for _, r := range c.Resources {
		read := []string{"get " + r.Resource, "list " + r.Resource, "watch " + r.Resource}
		want["ClusterRole upstreamd-synctarget"] = append(want["ClusterRole upstreamd-synctarget"], read...)
		want["ClusterRole upstreamd-upstream"] = append(want["ClusterRole upstreamd-upstream"], append(read, "patch "+r.Resource+"/status")...)
	}
	for _, rights := range want {
		slices.Sort(rights)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	if c.Serving.Loopback() || c.Serving.Reviews == nil || !c.LeaderElection.Enabled || c.LeaderElection.Name != "upstreamd" {
		t.Errorf("serves at %+v, elects by %+v", c.Serving, c.LeaderElection)
	}

	pod := manifest[appsv1.Deployment](t, all, "Deployment upstreamd").Spec.Template.Spec
	container := pod.Containers[0]
	if !*pod.SecurityContext.RunAsNonRoot || pod.SecurityContext.SeccompProfile.Type != corev1.SeccompProfileTypeRuntimeDefault {
		t.Error("the Pod may run as root, or without seccomp")
	}
	if s := container.SecurityContext; !*s.ReadOnlyRootFilesystem || *s.AllowPrivilegeEscalation || !slices.Equal(s.Capabilities.Drop, []corev1.Capability{"ALL"}) {
		t.Errorf("the container may too much: %+v", s)
	}
	if container.LivenessProbe == nil || container.ReadinessProbe == nil || container.Resources.Limits.Memory().IsZero() {
		t.Error("probes or limits are missing")
	}
	_, port, err := net.SplitHostPort(c.Serving.HealthAddress())
	if err != nil || c.Serving.Health == nil || config.Loopback(c.Serving.Health.Address) {
		t.Errorf("kubelet does not reach health at %q", c.Serving.HealthAddress())
	}
	for _, probe := range []*corev1.Probe{container.LivenessProbe, container.ReadinessProbe} {
		i := slices.IndexFunc(container.Ports, func(p corev1.ContainerPort) bool { return p.Name == probe.HTTPGet.Port.StrVal })
		if i < 0 || strconv.Itoa(int(container.Ports[i].ContainerPort)) != port || probe.HTTPGet.Scheme == corev1.URISchemeHTTPS {
			t.Errorf("a probe asks %+v, and health is at port %s", probe.HTTPGet, port)
		}
	}
}
