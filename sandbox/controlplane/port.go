package controlplane

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// A port is a TCP port of 127.0.0.1 that is reserved until released: a socket of this process is bound to it with SO_REUSEPORT
// and never listens. A server of the same user that also sets SO_REUSEPORT can listen there, and again after a restart; no other
// process gets the port meanwhile, and while no server listens connections are refused.
type port struct {
	Number int
	fd     int
}

func reservePort() (*port, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	if err != nil {
		return nil, fmt.Errorf("reserving a port: %w", err)
	}
	number, err := bindAny(fd)
	if err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("reserving a port: %w", err)
	}
	return &port{Number: number, fd: fd}, nil
}

func bindAny(fd int) (int, error) {
	unix.CloseOnExec(fd)
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1); err != nil {
		return 0, err
	}
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		return 0, err
	}
	name, err := unix.Getsockname(fd)
	if err != nil {
		return 0, err
	}
	address, ok := name.(*unix.SockaddrInet4)
	if !ok {
		return 0, fmt.Errorf("bound to %T, not to an IPv4 address", name)
	}
	return address.Port, nil
}

func (p *port) release() { _ = unix.Close(p.fd) }
