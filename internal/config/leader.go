package config

import (
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// LeaderElection lets several daemons run, of which the holder of a Lease writes. The Lease lies in the API server of Kubeconfig, in the
// cluster that the daemon runs in, or else in upstream, if that is a plain hub.
type LeaderElection struct {
	Enabled       bool            `json:"enabled"`
	InCluster     bool            `json:"inCluster"`         // the cluster that the daemon's Pod runs in, by its service account
	Kubeconfig    string          `json:"kubeconfig"`        // relative to the configuration file
	Context       string          `json:"context,omitempty"` // of the kubeconfig; empty: its current one
	Namespace     string          `json:"namespace"`         // of the Lease
	Name          string          `json:"name"`              // of the Lease
	LeaseDuration metav1.Duration `json:"leaseDuration"`     // others take the Lease when it was not renewed for this long; whole seconds
	RenewDeadline metav1.Duration `json:"renewDeadline"`     // the leader writes for this long after a renewal
	RetryPeriod   metav1.Duration `json:"retryPeriod"`       // between two attempts to renew or take it
}

func (c *Configuration) validateLeaderElection(path *field.Path) field.ErrorList {
	l := c.LeaderElection
	if !l.Enabled {
		return nil
	}
	var errs field.ErrorList
	hub := !c.Upstream.Unlisted() && len(c.Upstream.Workspaces) == 0
	switch {
	case l.InCluster && (l.Kubeconfig != "" || l.Context != ""):
		errs = append(errs, field.Forbidden(path.Child("kubeconfig"), "inCluster says already where the Lease is: keep one"))
	case !l.InCluster && l.Kubeconfig == "" && !hub:
		errs = append(errs, field.Required(path.Child("kubeconfig"),
			"name the file that says where the Lease is, best the cluster that the daemon runs in, or set inCluster: workspaces are the tenants'"))
	case l.Kubeconfig == "" && l.Context != "":
		errs = append(errs, field.Forbidden(path.Child("context"), "does nothing without kubeconfig: remove it"))
	}
	if l.Namespace == "" {
		errs = append(errs, field.Required(path.Child("namespace"), "name the namespace of the Lease"))
	} else if wrong := validation.IsDNS1123Label(l.Namespace); len(wrong) > 0 {
		errs = append(errs, field.Invalid(path.Child("namespace"), l.Namespace, strings.Join(wrong, "; ")))
	}
	if l.Name == "" {
		errs = append(errs, field.Required(path.Child("name"), "name the Lease: daemons that share it take turns"))
	} else if wrong := validation.IsDNS1123Subdomain(l.Name); len(wrong) > 0 {
		errs = append(errs, field.Invalid(path.Child("name"), l.Name, strings.Join(wrong, "; ")))
	}
	return append(errs, l.validateTimes(path)...)
}

// validateTimes requires time for a second attempt before the leader has to stop, and for its last calls before another may take over.
func (l LeaderElection) validateTimes(path *field.Path) field.ErrorList {
	errs := between(path.Child("leaseDuration"), l.LeaseDuration, 2*time.Second, time.Hour)
	errs = append(errs, between(path.Child("renewDeadline"), l.RenewDeadline, time.Second, time.Hour)...)
	errs = append(errs, between(path.Child("retryPeriod"), l.RetryPeriod, 100*time.Millisecond, time.Hour)...)
	if len(errs) > 0 {
		return errs
	}
	if l.LeaseDuration.Duration%time.Second != 0 {
		errs = append(errs, field.Invalid(path.Child("leaseDuration"), l.LeaseDuration.Duration.String(), "must be whole seconds: a Lease holds no others"))
	}
	if l.RenewDeadline.Duration >= l.LeaseDuration.Duration {
		errs = append(errs, field.Invalid(path.Child("renewDeadline"), l.RenewDeadline.Duration.String(),
			"must be less than leaseDuration, "+l.LeaseDuration.Duration.String()+": the leader's last calls have to arrive before another takes over"))
	}
	if 2*l.RetryPeriod.Duration > l.RenewDeadline.Duration {
		errs = append(errs, field.Invalid(path.Child("retryPeriod"), l.RetryPeriod.Duration.String(),
			"must be at most half of renewDeadline, "+l.RenewDeadline.Duration.String()+": else one lost call ends a leader's term"))
	}
	return errs
}
