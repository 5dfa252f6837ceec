package ref

import "errors"

// ErrUnreachable says that no connection to a server could be made, so that nothing was sent.
var ErrUnreachable = errors.New("no connection to the server")
