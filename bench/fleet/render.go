package fleet

import (
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// First is the number of replicas that a copy reports before it changes; each change adds one. So the sum
// that is published for an object says how many of its changes are in it.
const First = 1

//go:embed deployment.json
var deployment string

// template is deployment.json, cut at its placeholders.
type template []part

type part struct {
	text string
	hole string // the field behind the text: name, namespace, uid, version, managers, status; empty at the end
}

var deploymentTemplate = cut(strings.TrimSpace(deployment))

// cut parts a text at its holes, which stand between dollar signs.
func cut(text string) (t template) {
	for i, piece := range strings.Split(text, "$") {
		if i%2 == 0 {
			t = append(t, part{text: piece})
		} else {
			t[len(t)-1].hole = piece
		}
	}
	return t
}

// Body holds the fields that vary between Deployments.
type Body struct {
	Name     Name
	UID      uint64
	Version  uint64
	Managers string // of the status, as JSON objects with commas between
	Status   []byte
}

// Append appends a Deployment as JSON.
func (o Body) Append(b []byte) []byte {
	for _, p := range deploymentTemplate {
		b = append(b, p.text...)
		switch p.hole {
		case "name":
			b = append(b, o.Name.Name...)
		case "namespace":
			b = append(b, o.Name.Namespace...)
		case "uid":
			b = fmt.Appendf(b, "%08x-5ba1-4f00-8000-000000000000", o.UID)
		case "version":
			b = strconv.AppendUint(b, o.Version, 10)
		case "managers":
			b = append(b, o.Managers...)
		case "status":
			b = append(b, o.Status...)
		}
	}
	return b
}

// Controller is the managedFields entry that a cluster's own Deployment controller leaves.
var Controller = strings.TrimSpace(controller)

//go:embed controller.json
var controller string

// Manager is the managedFields entry of a manager of these status fields, as a custom resource has it: lists count whole.
func Manager(name string, fields []string) string {
	var b strings.Builder
	fmt.Fprintf(&b, `{"manager":%q,"operation":"Update","apiVersion":"apps/v1","time":"2026-01-05T08:32:00Z",`+
		`"fieldsType":"FieldsV1","fieldsV1":{"f:status":{".":{}`, name)
	for _, f := range fields {
		fmt.Fprintf(&b, `,"f:%s":{}`, f)
	}
	b.WriteString(`}},"subresource":"status"}`)
	return b.String()
}

// AppendStatus appends the status of a copy that has changed n times. Every seventh change says that it is not available.
func (s Shape) AppendStatus(b []byte, n int) []byte {
	replicas := int64(n + First)
	b = append(b, `{"observedGeneration":1`...)
	for _, counter := range []string{"replicas", "updatedReplicas", "readyReplicas", "availableReplicas"} {
		b = append(b, `,"`...)
		b = append(b, counter...)
		b = append(b, `":`...)
		b = strconv.AppendInt(b, replicas, 10)
	}
	available, reason, message := "True", "MinimumReplicasAvailable", "Deployment has minimum availability."
	if !Available(n) {
		available, reason, message = "False", "MinimumReplicasUnavailable", "Deployment does not have minimum availability."
	}
	for _, part := range []string{
		`,"conditions":[{"type":"Available","status":"`, available, `","reason":"`, reason, `","message":"`, message,
		`","lastUpdateTime":"2026-01-05T08:31:10Z","lastTransitionTime":"2026-01-05T08:31:10Z"},`,
		`{"type":"Progressing","status":"True","reason":"NewReplicaSetAvailable",`,
		`"message":"ReplicaSet \"storefront-5d9c7b6f48\" has successfully progressed.","lastUpdateTime":"2026-01-05T`,
	} {
		b = append(b, part...)
	}
	b = fmt.Appendf(b, "%02d:%02d:%02d", 9+n/3600%12, n/60%60, n%60)
	b = append(b, `Z","lastTransitionTime":"2026-01-05T08:30:00Z"}`...)
	b = s.appendPadding(b)
	return append(b, "]}"...)
}

// appendPadding makes a status as large as the shape asks for, by more conditions with messages of 1 KB.
func (s Shape) appendPadding(b []byte) []byte {
	for i := range max(0, s.StatusBytes-700) / 1150 {
		b = fmt.Appendf(b, `,{"type":"Check%02d","status":"True","reason":"Passed","message":"%s","lastTransitionTime":"2026-01-05T08:30:00Z"}`, i, filler)
	}
	return b
}

var filler = strings.Repeat("nothing to complain of; ", 43)

// Available is the condition Available of a copy that has changed n times.
func Available(n int) bool { return n%7 != 6 }

// Published holds the fields of a published status that the bench checks.
type Published struct {
	Replicas           int64  `json:"replicas"`
	ReadyReplicas      int64  `json:"readyReplicas"`
	ObservedGeneration int64  `json:"observedGeneration"`
	Available          string `json:"-"`
}

// ReadPublished decodes a published status.
func ReadPublished(status []byte) (Published, error) {
	var p struct {
		Published
		Conditions []struct{ Type, Status string } `json:"conditions"`
	}
	if err := json.Unmarshal(status, &p); err != nil {
		return Published{}, fmt.Errorf("a published status: %w", err)
	}
	for _, c := range p.Conditions {
		if c.Type == "Available" {
			p.Available = c.Status
		}
	}
	return p.Published, nil
}

// Expected is the status to be published for copies with these numbers of changes: sums, and available where all are.
func Expected(changes []int) Published {
	want := Published{ObservedGeneration: 1, Available: "True"}
	for _, n := range changes {
		want.Replicas += int64(n + First)
		want.ReadyReplicas += int64(n + First)
		if !Available(n) {
			want.Available = "False"
		}
	}
	return want
}

// Verify checks a published status against the numbers of changes of its copies.
func Verify(status []byte, changes []int) error {
	if status == nil {
		return errors.New("nothing is published")
	}
	got, err := ReadPublished(status)
	if err != nil {
		return err
	}
	if want := Expected(changes); got != want {
		return fmt.Errorf("published %+v, want %+v", got, want)
	}
	return nil
}
