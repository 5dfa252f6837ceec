// Package app is the daemon: the only place that wires configuration, clients, policies, actors, logs and metrics together.
package app
