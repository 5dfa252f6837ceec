package controlplane

import "syscall"

// dieWithParent also gives the process a group of its own, so that a Ctrl-C in the terminal does not end the servers before
// those who use them.
func dieWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
}
