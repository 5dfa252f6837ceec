// Package serving guards what the daemon serves: whom it answers (Local, Reviewer) and under which certificate (Certificate).
package serving
