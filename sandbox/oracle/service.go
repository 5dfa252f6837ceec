package oracle

import (
	"cmp"
	"slices"

	corev1 "k8s.io/api/core/v1"
)

func servicesOf(s *syncTarget) map[string]*corev1.Service { return s.services }

// checkService expects every host name and address of any SyncTarget once.
func checkService(s subject, upstream *corev1.Service, copies []contribution[*corev1.Service], _ bool) {
	type address struct{ hostname, ip string }
	union := map[address]corev1.LoadBalancerIngress{}
	var conditions []reported
	for _, c := range copies {
		for _, ingress := range c.object.Status.LoadBalancer.Ingress {
			at := address{ingress.Hostname, ingress.IP}
			merged, known := union[at]
			if !known {
				merged = corev1.LoadBalancerIngress{Hostname: ingress.Hostname, IP: ingress.IP, IPMode: ingress.IPMode}
			}
			for _, port := range ingress.Ports {
				same := func(p corev1.PortStatus) bool { return p.Port == port.Port && p.Protocol == port.Protocol }
				if !slices.ContainsFunc(merged.Ports, same) {
					merged.Ports = append(merged.Ports, port)
				}
			}
			union[at] = merged
		}
		for _, condition := range c.object.Status.Conditions {
			conditions = append(conditions, reported{c.target, condition.Type, string(condition.Status), condition.Reason, condition.Message})
		}
	}
	var want []corev1.LoadBalancerIngress
	for _, ingress := range union {
		want = append(want, ingress)
	}
	s.compare("loadBalancer.ingress", asJSON(sorted(want)), asJSON(sorted(upstream.Status.LoadBalancer.Ingress)))

	var published []reported
	for _, condition := range upstream.Status.Conditions {
		published = append(published, reported{"", condition.Type, string(condition.Status), condition.Reason, condition.Message})
	}
	checkConditions(s, len(copies), conditions, published, nil)
}

func sorted(ingress []corev1.LoadBalancerIngress) []corev1.LoadBalancerIngress {
	all := slices.Clone(ingress)
	slices.SortFunc(all, func(a, b corev1.LoadBalancerIngress) int {
		return cmp.Or(cmp.Compare(a.Hostname, b.Hostname), cmp.Compare(a.IP, b.IP))
	})
	for n := range all {
		all[n].Ports = slices.Clone(all[n].Ports)
		slices.SortFunc(all[n].Ports, func(a, b corev1.PortStatus) int {
			return cmp.Or(cmp.Compare(a.Port, b.Port), cmp.Compare(a.Protocol, b.Protocol))
		})
	}
	return all
}
