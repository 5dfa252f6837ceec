// Package lease takes part in the election of the one daemon that writes. The election is client-go's, on a Lease. This package
// adds the expiry of the right to write: every write checks it right before it is sent, and is bounded by it.
package lease
