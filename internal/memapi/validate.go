package memapi

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// notAbove are the counters of a kind's status that a kube-apiserver refuses if they are greater than another one.
var notAbove = map[string][][2]string{
	"Deployment": {
		{"updatedReplicas", "replicas"}, {"readyReplicas", "replicas"}, {"availableReplicas", "replicas"}, {"availableReplicas", "readyReplicas"},
	},
	"ReplicaSet": {
		{"fullyLabeledReplicas", "replicas"}, {"readyReplicas", "replicas"}, {"availableReplicas", "replicas"}, {"availableReplicas", "readyReplicas"},
	},
	"StatefulSet": {
		{"readyReplicas", "replicas"}, {"currentReplicas", "replicas"}, {"updatedReplicas", "replicas"}, {"availableReplicas", "replicas"},
		{"availableReplicas", "readyReplicas"},
	},
	"DaemonSet": nil, // only not below 0
}

// validate holds the status of typed kinds against those rules of a kube-apiserver that a merged status may break. old is nil for a
// new object.
func validate(kind string, old, next *Object) field.ErrorList {
	if old != nil && bytes.Equal(old.Status, next.Status) {
		return nil
	}
	switch kind {
	case "Deployment", "ReplicaSet", "StatefulSet", "DaemonSet":
		return validateCounters(notAbove[kind], next)
	case "Service":
		return validateIngress(next)
	case "Job":
		return validateJob(old, next)
	}
	return nil
}

func validateCounters(rules [][2]string, o *Object) field.ErrorList {
	status, _ := decode(o.Status).(map[string]any)
	counters, at := map[string]int64{}, field.NewPath("status")
	var errs field.ErrorList
	for name, v := range status {
		n, ok := v.(int64)
		counters[name] = n
		if ok && n < 0 {
			errs = append(errs, field.Invalid(at.Child(name), n, "must be greater than or equal to 0"))
		}
	}
	for _, rule := range rules {
		if n := counters[rule[0]]; n > counters[rule[1]] {
			errs = append(errs, field.Invalid(at.Child(rule[0]), n, "cannot be greater than status."+rule[1]))
		}
	}
	return errs
}

func validateIngress(o *Object) field.ErrorList {
	var service corev1.Service
	if err := json.Unmarshal(o.JSON(), &service); err != nil || len(service.Status.LoadBalancer.Ingress) == 0 || service.Spec.Type == corev1.ServiceTypeLoadBalancer {
		return nil
	}
	return field.ErrorList{field.Forbidden(field.NewPath("status", "loadBalancer", "ingress"), "may only be used when `spec.type` is 'LoadBalancer'")}
}

func validateJob(old, next *Object) field.ErrorList {
	var before, after batchv1.Job
	if old == nil || json.Unmarshal(old.JSON(), &before) != nil || json.Unmarshal(next.JSON(), &after) != nil {
		return nil
	}
	var errs field.ErrorList
	at := field.NewPath("status")
	from, to := before.Status, after.Status
	suspended := after.Spec.Suspend != nil && *after.Spec.Suspend
	if from.StartTime != nil && !suspended && !from.StartTime.Equal(to.StartTime) {
		errs = append(errs, field.Invalid(at.Child("startTime"), to.StartTime, "field is immutable once set for an unsuspended job"))
	}
	indexed := after.Spec.CompletionMode != nil && *after.Spec.CompletionMode == batchv1.IndexedCompletion
	scalable := indexed && reflect.DeepEqual(after.Spec.Completions, after.Spec.Parallelism)
	if to.Succeeded < from.Succeeded && !scalable {
		errs = append(errs, field.Invalid(at.Child("succeeded"), to.Succeeded, "cannot decrease the number of succeeded pods"))
	}
	if to.Failed < from.Failed {
		errs = append(errs, field.Invalid(at.Child("failed"), to.Failed, "cannot decrease the number of failed pods"))
	}
	errs = append(errs, validateTerminal(from, to)...)
	return append(errs, validateFinished(from, to)...)
}

// validateTerminal is about conditions that end a Job.
func validateTerminal(from, to batchv1.JobStatus) field.ErrorList {
	var errs field.ErrorList
	at := field.NewPath("status")
	for _, terminal := range []batchv1.JobConditionType{batchv1.JobComplete, batchv1.JobFailed, batchv1.JobFailureTarget, batchv1.JobSuccessCriteriaMet} {
		if holds(from, terminal) && !holds(to, terminal) {
			errs = append(errs, field.Invalid(at.Child("conditions"), field.OmitValueType{}, fmt.Sprintf("cannot disable the terminal %s=True condition", terminal)))
		}
	}
	for done, needs := range map[batchv1.JobConditionType]batchv1.JobConditionType{
		batchv1.JobComplete: batchv1.JobSuccessCriteriaMet, batchv1.JobFailed: batchv1.JobFailureTarget,
	} {
		if holds(to, done) && !holds(from, done) && !holds(to, needs) {
			why := fmt.Sprintf("cannot set %s=True condition without the %s=true condition", done, needs)
			errs = append(errs, field.Invalid(at.Child("conditions"), field.OmitValueType{}, why))
		}
	}
	return errs
}

// validateFinished is about Jobs that are finished now and were not before.
func validateFinished(from, to batchv1.JobStatus) field.ErrorList {
	complete, failed := holds(to, batchv1.JobComplete), holds(to, batchv1.JobFailed)
	if !complete && !failed || holds(from, batchv1.JobComplete) || holds(from, batchv1.JobFailed) {
		return nil
	}
	var errs field.ErrorList
	at := field.NewPath("status")
	if complete && to.CompletionTime == nil {
		errs = append(errs, field.Required(at.Child("completionTime"), "completionTime is required for Complete jobs"))
	}
	if to.Active > 0 {
		errs = append(errs, field.Invalid(at.Child("active"), to.Active, "active>0 is invalid for finished job"))
	}
	if to.StartTime == nil {
		errs = append(errs, field.Required(at.Child("startTime"), "startTime is required for finished job"))
	}
	return errs
}

func holds(status batchv1.JobStatus, kind batchv1.JobConditionType) bool {
	for _, c := range status.Conditions {
		if c.Type == kind && c.Status == corev1.ConditionTrue {
			return true
		}
	}
	return false
}
