//go:build !linux

package controlplane

import "syscall"

// dieWithParent can not be had here: only Linux kills a process whose parent was killed.
func dieWithParent() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
