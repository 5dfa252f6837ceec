// Package openapi reads the schemas of statuses from an API server's OpenAPI v3 documents.
package openapi

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/upstreamd/upstreamd/internal/ref"
)

// Bounds of a schema. What lies beyond is as if it had no schema.
const (
	maxDepth = 24
	maxNodes = 20_000 // schemas that are visited for one kind
)

// node is a part of a schema. A document has thousands, with many fields more.
type node struct {
	Ref                  string           `json:"$ref"`
	AllOf                []*node          `json:"allOf"`
	Properties           map[string]*node `json:"properties"`
	Items                *node            `json:"items"`
	AdditionalProperties json.RawMessage  `json:"additionalProperties"` // a schema or a bool
	MaxItems             int              `json:"maxItems"`
	ListType             string           `json:"x-kubernetes-list-type"`
	ListMapKeys          []string         `json:"x-kubernetes-list-map-keys"`
	Kinds                []kind           `json:"x-kubernetes-group-version-kind"`
}

type kind struct{ Group, Version, Kind string }

// Document holds the schemas of one group and version.
type Document struct {
	schemas map[string]*node
	paths   map[string]json.RawMessage
}

// Read decodes the document of one group and version.
func Read(r io.Reader) (*Document, error) {
	var raw struct {
		Paths      map[string]json.RawMessage `json:"paths"`
		Components struct {
			Schemas map[string]*node `json:"schemas"`
		} `json:"components"`
	}
	if err := json.NewDecoder(r).Decode(&raw); err != nil {
		return nil, fmt.Errorf("decode OpenAPI document: %w", err)
	}
	return &Document{raw.Components.Schemas, raw.Paths}, nil
}

// Status returns the schema of the status of a kind, whose resource has that plural name; nil: the document has none.
func (d *Document) Status(of schema.GroupVersionKind, resource string) *ref.Schema {
	for _, n := range d.schemas {
		if n == nil || !slices.Contains(n.Kinds, kind(of)) {
			continue
		}
		var counters [][]string
		for path := range d.paths {
			if strings.HasSuffix(path, "/"+resource+"/{name}/scale") {
				counters = [][]string{{"replicas"}}
			}
		}
		w := walk{d, ref.NewSchema(counters...), maxNodes, map[*node]int{}}
		if root := d.resolve(n); root != nil {
			w.visit(root.Properties["status"], nil)
		}
		return w.found
	}
	return nil
}

type walk struct {
	*Document
	found *ref.Schema
	left  int
	above map[*node]int // how often a schema is on the way to the present one: some hold themselves
}

func (w *walk) visit(n *node, path []string) {
	n = w.resolve(n)
	if w.left--; n == nil || w.left < 0 || len(path) > maxDepth || w.above[n] > 1 {
		return
	}
	w.above[n]++
	defer func() { w.above[n]-- }()
	below := func(name string) []string { return append(slices.Clip(path), name) }
	for name, property := range n.Properties {
		w.visit(property, below(name))
	}
	if n.Items != nil {
		l := ref.List{MaxItems: n.MaxItems}
		if n.ListType == "map" {
			l.Keys = n.ListMapKeys
		}
		if l.MaxItems > 0 || len(l.Keys) > 0 {
			w.found.Add(path, l)
		}
		w.visit(n.Items, below("*"))
	}
	if len(n.AdditionalProperties) > 0 && n.AdditionalProperties[0] == '{' {
		var member node
		if json.Unmarshal(n.AdditionalProperties, &member) == nil {
			w.visit(&member, below("*"))
		}
	}
}

// resolve follows references, also those that stand alone in allOf beside a default.
func (d *Document) resolve(n *node) *node {
	for range maxDepth {
		switch {
		case n == nil:
			return nil
		case n.Ref != "":
			n = d.schemas[strings.TrimPrefix(n.Ref, "#/components/schemas/")]
		case len(n.AllOf) == 1 && n.Properties == nil && n.Items == nil:
			n = n.AllOf[0]
		default:
			return n
		}
	}
	return nil
}
