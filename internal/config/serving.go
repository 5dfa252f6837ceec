package config

import (
	"net"
	"net/netip"
	"strconv"

	"k8s.io/apimachinery/pkg/util/validation/field"
)

func (s Serving) validate(path *field.Path) field.ErrorList {
	errs := append(s.TLS.validate(path.Child("tls")), s.Reviews.validate(path.Child("reviews"))...)
	if s.Reviews != nil && s.TLS == nil {
		errs = append(errs, field.Required(path.Child("tls"), "tokens must not travel in the clear; tls: {} makes a certificate at each start"))
	}
	if s.Address == "" {
		return errs
	}
	host, port, err := net.SplitHostPort(s.Address)
	if err != nil {
		return append(errs, field.Invalid(path.Child("address"), s.Address, "must be host:port, such as 127.0.0.1:8080"))
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		errs = append(errs, field.Invalid(path.Child("address"), s.Address, "the port must be a number up to 65535; 0 takes a free one"))
	}
	if !onLoopback(host) && (s.TLS == nil || s.Reviews == nil) {
		errs = append(errs, field.Invalid(path.Child("address"), s.Address,
			"whoever reaches it could read what is served: stay on loopback (127.0.0.1, [::1] or localhost), or set tls and reviews"))
	}
	return errs
}

// Loopback is whether the address is reached from this machine only.
func (s Serving) Loopback() bool {
	host, _, err := net.SplitHostPort(s.Address)
	return err == nil && onLoopback(host)
}

func onLoopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

func (t *ServingTLS) validate(path *field.Path) field.ErrorList {
	switch {
	case t == nil || (t.CertFile == "") == (t.KeyFile == ""):
		return nil
	case t.CertFile == "":
		return field.ErrorList{field.Required(path.Child("certFile"), "name the certificate of keyFile, or neither")}
	default:
		return field.ErrorList{field.Required(path.Child("keyFile"), "name the key of certFile, or neither")}
	}
}

func (r *Reviews) validate(path *field.Path) field.ErrorList {
	switch {
	case r == nil:
		return nil
	case r.InCluster && r.Kubeconfig != "":
		return field.ErrorList{field.Forbidden(path.Child("inCluster"), "kubeconfig names a server already: keep one")}
	case !r.InCluster && r.Kubeconfig == "":
		return field.ErrorList{field.Required(path.Child("kubeconfig"), "name the file that says which API server is asked, or set inCluster")}
	case r.InCluster && r.Context != "":
		return field.ErrorList{field.Forbidden(path.Child("context"), "is of a kubeconfig, and there is none")}
	default:
		return nil
	}
}
