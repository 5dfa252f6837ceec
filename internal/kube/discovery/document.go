package discovery

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/upstreamd/upstreamd/internal/kube/client"
)

// A discovery document is untrusted input: `{},` in it takes a hundred times its size in memory.
const (
	maxDocument = 8 << 20 // bytes of one
	maxElements = 20_000  // groups, versions, kinds and subresources in one
)

var (
	errTooMany = fmt.Errorf("more than %d kinds, their groups, versions and subresources counted", maxElements)
	errTooLong = fmt.Errorf("a discovery document of more than %d bytes", maxDocument)
	// errNoDocument is the error of an answer that no API server gives.
	errNoDocument = errors.New("not a discovery document")
)

// The fields that are read of documents. Those of documents that list kinds version by version:
type (
	group struct {
		Name             string
		Versions         bounded[version]
		PreferredVersion version
	}
	version  struct{ Version string }
	resource struct {
		Name  string // of a subresource: <resource>/<subresource>
		Verbs verbs
	}
)

// And the one that names them all:
type (
	aggregatedGroup struct {
		Metadata struct{ Name string }
		Versions bounded[aggregatedVersion]
	}
	aggregatedVersion struct {
		Version   string
		Resources bounded[aggregatedResource]
	}
	aggregatedResource struct {
		Resource     string
		Verbs        verbs
		Subresources bounded[aggregatedSubresource]
	}
	aggregatedSubresource struct {
		Subresource string
		Verbs       verbs
	}
)

func (g group) elements() int              { return g.Versions.elements() }
func (g aggregatedGroup) elements() int    { return g.Versions.elements() }
func (v aggregatedVersion) elements() int  { return v.Resources.elements() }
func (r aggregatedResource) elements() int { return r.Subresources.elements() }

// bounded is an array that is read only as long as it holds no more than maxElements, the elements of its elements counted.
type bounded[T any] []T

// UnmarshalJSON implements json.Unmarshaler.
func (b *bounded[T]) UnmarshalJSON(raw []byte) error {
	d := json.NewDecoder(bytes.NewReader(raw))
	switch first, err := d.Token(); {
	case err != nil:
		return err
	case first == nil: // null
		*b = nil
		return nil
	case first != json.Delim('['):
		return errNoDocument
	}
	var all bounded[T]
	for total := 0; d.More(); {
		var element T
		if err := d.Decode(&element); err != nil {
			return err
		}
		if total += 1 + elements(element); total > maxElements {
			return errTooMany
		}
		all = append(all, element)
	}
	*b = all
	return nil
}

func (b bounded[T]) elements() int {
	total := len(b)
	for _, element := range b {
		total += elements(element)
	}
	return total
}

// elements are those within an element.
func elements(of any) int {
	if holder, ok := of.(interface{ elements() int }); ok {
		return holder.elements()
	}
	return 0
}

// verbs are the verbs of a kind that matter here.
type verbs struct{ list, watch, patch bool }

// UnmarshalJSON implements json.Unmarshaler.
func (v *verbs) UnmarshalJSON(raw []byte) error {
	*v = verbs{}
	d := json.NewDecoder(bytes.NewReader(raw))
	for {
		switch token, err := d.Token(); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		case token == "list":
			v.list = true
		case token == "watch":
			v.watch = true
		case token == "patch":
			v.patch = true
		}
	}
}

// document reads one, as far as into wants it.
func (s Server) document(ctx context.Context, path, accept string, into any) error {
	resp, err := s.Conn.Do(ctx, client.Request{Path: s.Prefix + path, Accept: accept})
	if err != nil {
		return err
	}
	defer client.Drain(resp.Body)
	body := &io.LimitedReader{R: resp.Body, N: maxDocument + 1}
	switch err := json.NewDecoder(body).Decode(into); {
	case body.N <= 0:
		return errTooLong
	case err != nil:
		return client.Cause(ctx, err)
	}
	return nil
}
