// Package policy holds the rules by which the statuses of many SyncTargets become one: StatusPolicy documents, their validation, and
// the compiled form that a decision uses. Built-in kinds and users' kinds are the same documents. It reads no files and has no clock.
package policy
