// Package lease takes part in the election of the one daemon that writes. The election is client-go's, on a Lease; what is added is how
// long the right to write lasts, which every write asks right before it is sent and is bounded by.
package lease
