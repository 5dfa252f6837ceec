package transform

import (
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// timestamp writes a time as metav1.Time does: RFC 3339, UTC, whole seconds; one with microseconds as metav1.MicroTime does. Only fields that
// are named like times are touched, for a user's text may be a time too.
func timestamp(name, s string) string {
	normal := len(s) == len("2006-01-02T15:04:05Z") && s[len(s)-1] == 'Z'
	if normal || !strings.HasSuffix(name, "Time") && !strings.HasSuffix(name, "Timestamp") && !strings.HasSuffix(name, "At") {
		return s
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return s
	}
	if len(s) > 26 && s[19] == '.' && (s[26] == 'Z' || s[26] == '+' || s[26] == '-') {
		return t.UTC().Format(metav1.RFC3339Micro)
	}
	return t.UTC().Format(time.RFC3339)
}
