// Package serving protects the daemon's endpoints: clients (Local, Reviewer), connections (Limit) and certificates (Certificate).
package serving
