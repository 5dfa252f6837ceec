package oracle

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// A Pod's condition may have changed and changed back between two writes: its time may be older than the copy's. Nothing else may differ.
func TestTransitionTimesOfAPod(t *testing.T) {
	second := func(n int64) metav1.Time { return metav1.NewTime(time.Unix(1_800_000_000+n, 0)) }
	pod := func(status corev1.ConditionStatus, reason string, at metav1.Time) *corev1.Pod {
		return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Generation: 1}, Status: corev1.PodStatus{Phase: corev1.PodRunning,
			Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: status, Reason: reason, LastTransitionTime: at}}}}
	}
	up := pod("True", "Up", second(5))
	for name, test := range map[string]struct {
		copies []*corev1.Pod
		wrong  int
	}{
		"the same":                          {[]*corev1.Pod{pod("True", "Up", second(5))}, 0},
		"changed back":                      {[]*corev1.Pod{pod("True", "Up", second(6))}, 0},
		"newer than the copy's":             {[]*corev1.Pod{pod("True", "Up", second(4))}, 1},
		"newer than the primary's":          {[]*corev1.Pod{pod("True", "Up", second(4)), pod("False", "Down", second(5))}, 0},
		"newer than all":                    {[]*corev1.Pod{pod("True", "Up", second(4)), pod("False", "Down", second(3))}, 1},
		"another status, and later":         {[]*corev1.Pod{pod("False", "Up", second(6))}, 2},
		"another reason":                    {[]*corev1.Pod{pod("True", "Late", second(6))}, 1},
		"the copy's has no time":            {[]*corev1.Pod{pod("True", "Up", metav1.Time{})}, 1},
		"no such condition in the only one": {[]*corev1.Pod{{Status: corev1.PodStatus{Phase: corev1.PodRunning}}}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			var copies []contribution[*corev1.Pod]
			for _, c := range test.copies {
				copies = append(copies, contribution[*corev1.Pod]{"us-east1", c})
			}
			report := &Report{Checked: 1}
			checkPod(subject{report: report}, up, copies, false)
			if len(report.Wrong) != test.wrong {
				t.Errorf("%d fields are wrong, want %d: %v", len(report.Wrong), test.wrong, report.Err())
			}
		})
	}

	report := &Report{Checked: 1}
	checkPod(subject{report: report}, pod("True", "Up", metav1.Time{}), []contribution[*corev1.Pod]{{"us-east1", up}}, false)
	if len(report.Wrong) != 1 {
		t.Errorf("published without a time: %v", report.Err())
	}
}
