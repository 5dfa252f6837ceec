package controlplane

import "syscall"

// dieWithParent also puts the process into its own group, so that a Ctrl-C in the terminal does not stop the servers before
// their clients.
func dieWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
}
