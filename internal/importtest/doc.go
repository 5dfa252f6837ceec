// Package importtest holds the directions in which packages may import each other, and keeps the pure ones pure. It has only
// tests; docs/architecture.md draws the same picture.
package importtest
