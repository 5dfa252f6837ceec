package sandbox_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/upstreamd/upstreamd/sandbox"
	"github.com/upstreamd/upstreamd/sandbox/controlplane"
	"github.com/upstreamd/upstreamd/sandbox/front"
	"github.com/upstreamd/upstreamd/sandbox/sandboxtest"
)

var shared *sandbox.Sandbox

// childEnv makes the test program start a sandbox and wait to be killed.
const childEnv = "SANDBOX_TEST_CHILD"

func TestMain(m *testing.M) {
	if os.Getenv(childEnv) != "" {
		waitToBeKilled()
	}
	sandboxtest.Main(m, sandbox.Options{
		Workspaces: []string{"root:team-a", "team-b"}, SyncTargets: []string{"us-east1", "eu-west1"}, RBAC: true,
		Users: []controlplane.User{{Name: "no-rights", Token: "no-rights-token"}},
	}, func(s *sandbox.Sandbox) { shared = s })
}

func waitToBeKilled() {
	s, err := sandbox.Start(context.Background(), sandbox.Options{Workspaces: []string{"w"}, SyncTargets: []string{"t"}})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	_ = json.NewEncoder(os.Stdout).Encode([]int{s.Etcd.PID(), s.Workspace("w").APIServer.PID(), s.SyncTarget("t").PID()})
	select {}
}

func TestKubeconfigsConnectToTheirServers(t *testing.T) {
	marked := map[string]string{ // a ConfigMap's name identifies its server
		shared.Workspace("root:team-a").Kubeconfig: "team-a",
		shared.Workspace("team-b").Kubeconfig:      "team-b",
		shared.SyncTarget("us-east1").Kubeconfig:   "us-east1",
	}
	for path, mark := range marked {
		create(t, fromFile(t, path), mark)
	}
	for path, mark := range marked {
		list, err := fromFile(t, path).CoreV1().ConfigMaps("default").List(t.Context(), metav1.ListOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if len(list.Items) != 1 || list.Items[0].Name != mark {
			t.Errorf("%s: got %d ConfigMaps, want %s alone", path, len(list.Items), mark)
		}
	}
	config, err := clientcmd.BuildConfigFromFlags("", shared.UpstreamKubeconfig())
	if err != nil {
		t.Fatal(err)
	}
	config.Host += "/clusters/root:team-a"
	if _, err := client(t, config).CoreV1().ConfigMaps("default").Get(t.Context(), "team-a", metav1.GetOptions{}); err != nil {
		t.Errorf("the upstream kubeconfig with a /clusters suffix: %v", err)
	}
}

func TestFrontAnswersLikeKCP(t *testing.T) {
	upstream := shared.Upstream()
	workspace := func(name, token string) *rest.Config {
		config := rest.CopyConfig(upstream)
		config.Host, config.BearerToken = shared.Front.WorkspaceURL(name), token
		return config
	}
	for name, test := range map[string]struct {
		config *rest.Config
		want   func(error) bool
	}{
		"no token":                {workspace("root:team-a", ""), apierrors.IsUnauthorized},
		"no token, no workspace":  {workspace("root:team-x", ""), apierrors.IsUnauthorized},
		"wrong token":             {workspace("root:team-a", "wrong"), apierrors.IsUnauthorized},
		"no rights":               {workspace("root:team-a", "no-rights-token"), apierrors.IsForbidden},
		"no such workspace":       {workspace("root:team-x", upstream.BearerToken), apierrors.IsForbidden},
		"no workspace in the URL": {upstream, apierrors.IsNotFound},
	} {
		_, err := client(t, test.config).CoreV1().ConfigMaps("default").List(t.Context(), metav1.ListOptions{})
		if !test.want(err) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestWatchesStreamAndCallsAreCounted(t *testing.T) {
	before := shared.Calls()
	through := client(t, shared.Workspace("team-b").Config())
	watch, err := through.CoreV1().Namespaces().Watch(t.Context(), metav1.ListOptions{FieldSelector: "metadata.name=watched"})
	if err != nil {
		t.Fatal(err)
	}
	defer watch.Stop()
	around := client(t, shared.Workspace("team-b").APIServer.Config())
	if _, err := around.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "watched"}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if event := <-watch.ResultChan(); event.Object.(*corev1.Namespace).Name != "watched" {
		t.Errorf("got %v", event)
	}
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "lone"}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "i"}}}}
	if pod, err = through.CoreV1().Pods("default").Create(t.Context(), pod, metav1.CreateOptions{}); err != nil {
		t.Fatal(err) // Pods need no service account
	}
	pod.Status.Phase = corev1.PodRunning
	if _, err := through.CoreV1().Pods("default").UpdateStatus(t.Context(), pod, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}

	calls := shared.Calls().Since(before)
	want := front.Calls{
		{Workspace: "team-b", Verb: "watch", Version: "v1", Resource: "namespaces"}:                                                       1,
		{Workspace: "team-b", Verb: "create", Version: "v1", Resource: "pods", Namespace: "default"}:                                      1,
		{Workspace: "team-b", Verb: "update", Version: "v1", Resource: "pods", Namespace: "default", Name: "lone", Subresource: "status"}: 1,
	}
	for call, n := range want {
		if calls[call] != n {
			t.Errorf("%+v: got %d, want %d", call, calls[call], n)
		}
	}
	if calls.Total() != 3 || calls.Writes().Total() != 2 {
		t.Errorf("got %v", calls)
	}
}

func TestKillPauseRestart(t *testing.T) {
	workspace := shared.Workspace("team-b")
	config := workspace.Config()
	config.Timeout = 500 * time.Millisecond
	through := client(t, config)
	get := func() error {
		_, err := through.CoreV1().Namespaces().Get(t.Context(), "default", metav1.GetOptions{})
		return err
	}
	create(t, client(t, workspace.APIServer.Config()), "survivor")

	if err := workspace.APIServer.Pause(); err != nil {
		t.Fatal(err)
	}
	if err := get(); !errors.Is(err, context.DeadlineExceeded) && !strings.Contains(fmt.Sprint(err), "Timeout") {
		t.Errorf("paused: got %v, want a time-out", err)
	}
	if err := workspace.APIServer.Resume(); err != nil {
		t.Fatal(err)
	}
	sandboxtest.Eventually(t, 10*time.Second, get)

	pid := workspace.APIServer.PID()
	workspace.APIServer.Kill()
	if err := get(); !apierrors.IsServiceUnavailable(err) {
		t.Errorf("killed: got %v, want 503", err)
	}
	if err := workspace.APIServer.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if workspace.APIServer.PID() == pid {
		t.Error("the process did not change after Kill and Start")
	}
	if err := workspace.APIServer.Start(t.Context()); !errors.Is(err, controlplane.ErrRunning) {
		t.Errorf("started twice: got %v", err)
	}
	sandboxtest.Eventually(t, 10*time.Second, func() error {
		_, err := through.CoreV1().ConfigMaps("default").Get(t.Context(), "survivor", metav1.GetOptions{})
		return err
	})
}

func TestReplacedSyncTargetIsEmpty(t *testing.T) {
	first, err := shared.AddSyncTarget(t.Context(), "ap-south1")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := shared.AddSyncTarget(t.Context(), "us-east1"); err == nil {
		t.Error("a duplicate name was accepted")
	}
	create(t, client(t, first.Config()), "old")
	if err := shared.RemoveSyncTarget(t.Context(), "ap-south1"); err != nil {
		t.Fatal(err)
	}
	if first.Running() || shared.SyncTarget("ap-south1") != nil {
		t.Error("the removed SyncTarget is still there")
	}
	second, err := shared.AddSyncTarget(t.Context(), "ap-south1")
	if err != nil {
		t.Fatal(err)
	}
	_, err = client(t, second.Config()).CoreV1().ConfigMaps("default").Get(t.Context(), "old", metav1.GetOptions{})
	if !apierrors.IsNotFound(err) {
		t.Errorf("the new SyncTarget has the old one's objects: %v", err)
	}
	if first.UID == second.UID {
		t.Error("the new SyncTarget has the old one's uid")
	}
	if err := shared.RemoveSyncTarget(t.Context(), "ap-south1"); err != nil {
		t.Fatal(err)
	}
}

func TestServersDieWithTheirParent(t *testing.T) {
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), childEnv+"=1")
	child.Stderr = os.Stderr
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	line, readErr := bufio.NewReader(out).ReadBytes('\n')
	var pids []int
	if err := errors.Join(readErr, json.Unmarshal(line, &pids)); err != nil {
		_ = child.Process.Kill()
		_ = child.Wait()
		t.Fatal(err)
	}
	for _, pid := range pids {
		if !alive(pid) {
			t.Errorf("process %d does not run before the kill: the test proves nothing", pid)
		}
	}
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = child.Wait()
	for _, pid := range pids {
		sandboxtest.Eventually(t, 5*time.Second, func() error {
			if alive(pid) {
				return fmt.Errorf("process %d outlives its parent", pid)
			}
			return nil
		})
	}
}

func TestInvalidNamesAreRefused(t *testing.T) {
	_, err := sandbox.Start(t.Context(), sandbox.Options{Workspaces: []string{"root::a", "A"}, SyncTargets: []string{"a/b"}})
	for _, want := range []string{`"root::a"`, `"A"`, `"a/b"`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s in it", err, want)
		}
	}
}

func TestStartReportsTheServerLog(t *testing.T) {
	_, err := sandbox.Start(t.Context(), sandbox.Options{SyncTargets: []string{"t"}, APIServerArgs: map[string]string{"no-such-flag": "1"}})
	if err == nil || !strings.Contains(err.Error(), "unknown flag: --no-such-flag") {
		t.Errorf("got %v, want the end of the server's log", err)
	}
}

// alive distinguishes a running process from a zombie.
func alive(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	_, state, _ := strings.Cut(string(stat), ") ")
	return !strings.HasPrefix(state, "Z") && !strings.HasPrefix(state, "X")
}

func create(t *testing.T, c kubernetes.Interface, name string) {
	t.Helper()
	if _, err := c.CoreV1().ConfigMaps("default").Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
}

func fromFile(t *testing.T, kubeconfig string) kubernetes.Interface {
	t.Helper()
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	return client(t, config)
}

func client(t *testing.T, config *rest.Config) kubernetes.Interface {
	t.Helper()
	c, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestUsersChangeWithARestart(t *testing.T) {
	server := shared.SyncTarget("us-east1").APIServer
	old := server.Config()
	admin := controlplane.User{Name: "admin", Token: "rotated", Groups: []string{"system:masters"}}
	if err := server.SetUsers([]controlplane.User{{Name: "no-rights", Token: "no-rights-token"}}); err == nil {
		t.Error("users without an administrator were accepted")
	}
	if err := server.SetUsers([]controlplane.User{admin}); err != nil {
		t.Fatal(err)
	}
	if err := server.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := client(t, server.Config()).CoreV1().Namespaces().List(t.Context(), metav1.ListOptions{}); err != nil {
		t.Errorf("the new token: %v", err)
	}
	if _, err := client(t, old).CoreV1().Namespaces().List(t.Context(), metav1.ListOptions{}); !apierrors.IsUnauthorized(err) {
		t.Errorf("the old token: got %v, want 401", err)
	}
	admin.Token = old.BearerToken
	if err := errors.Join(server.SetUsers([]controlplane.User{admin}), server.Restart(t.Context())); err != nil {
		t.Fatal(err)
	}
}
