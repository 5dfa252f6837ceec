package serving

import (
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// Local answers only requests that call this machine by a name of its loopback. A web page under a name that resolves to 127.0.0.1
// (DNS rebinding) sends that name as Host, and reads nothing.
func Local(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !isLocal(r.Host) {
			http.Error(w, "this is served to localhost only", http.StatusMisdirectedRequest)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// isLocal holds a Host header, with or without a port, against the names of the loopback.
func isLocal(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	ip, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return strings.EqualFold(host, "localhost") || err == nil && ip.IsLoopback()
}
