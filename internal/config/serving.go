package config

import (
	"math"
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
	if s.Health != nil {
		errs = append(errs, s.validateHealth(path.Child("health", "address"))...)
	}
	if s.Address == "" {
		return errs
	}
	wrong := validateAddress(path.Child("address"), s.Address)
	errs = append(errs, wrong...)
	if host, _, err := net.SplitHostPort(s.Address); err == nil && !onLoopback(host) && (s.TLS == nil || s.Reviews == nil) {
		errs = append(errs, field.Invalid(path.Child("address"), s.Address,
			"every client that reaches it could read the metrics: stay on loopback (127.0.0.1, [::1] or localhost), or set tls and reviews"))
	}
	return errs
}

func (s Serving) validateHealth(path *field.Path) field.ErrorList {
	address := s.Health.Address
	if address == "" {
		return nil
	}
	errs := validateAddress(path, address)
	if _, port, err := net.SplitHostPort(address); err == nil && port != "0" && address == s.Address {
		errs = append(errs, field.Duplicate(path, address))
	}
	return errs
}

func validateAddress(path *field.Path, address string) field.ErrorList {
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return field.ErrorList{field.Invalid(path, address, "must be host:port, such as 127.0.0.1:8080")}
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return field.ErrorList{field.Invalid(path, address, "the port must be a number up to 65535; 0 takes a free one")}
	}
	return nil
}

// Loopback reports whether the main address is reached from this machine only.
func (s Serving) Loopback() bool { return Loopback(s.Address) }

// Loopback reports whether an address, host:port, is reached from this machine only.
func Loopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	return err == nil && onLoopback(host)
}

// HealthAddress is that of the listener for health: as configured, else on loopback at the port after that of Address. Empty: there is
// none.
func (s Serving) HealthAddress() string {
	if s.Health != nil {
		return s.Health.Address
	}
	host, text, err := net.SplitHostPort(s.Address)
	port, wrong := strconv.ParseUint(text, 10, 16)
	if err != nil || wrong != nil {
		return ""
	}
	if !onLoopback(host) {
		host = "127.0.0.1"
	}
	switch port {
	case 0:
	case math.MaxUint16:
		port--
	default:
		port++
	}
	return net.JoinHostPort(host, strconv.FormatUint(port, 10))
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
		return field.ErrorList{field.Required(path.Child("kubeconfig"), "name the file of the API server that reviews clients, or set inCluster")}
	case r.InCluster && r.Context != "":
		return field.ErrorList{field.Forbidden(path.Child("context"), "is of a kubeconfig, and there is none")}
	default:
		return nil
	}
}
