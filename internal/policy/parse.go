package policy

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"

	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"
)

// Parse reads the documents of a YAML or JSON file; empty ones are skipped. name is the file's, for errors. Unknown fields are refused. The
// error lists every mistake in the file; the documents that could be read are returned beside it.
func Parse(name string, data []byte) ([]*Document, error) {
	var docs []*Document
	var errs []error
	reader := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(data)))
	for i := 1; ; i++ {
		text, err := reader.Read()
		if errors.Is(err, io.EOF) {
			return docs, errors.Join(errs...)
		}
		if err != nil {
			return docs, errors.Join(append(errs, fmt.Errorf("%s: %w", name, err))...)
		}
		doc, err := parseOne(text)
		switch {
		case err != nil:
			errs = append(errs, located(fmt.Sprintf("%s: document %d", name, i), err)...)
		case doc != nil:
			doc.location = fmt.Sprintf("%s: %s", name, doc.Metadata.Name)
			docs = append(docs, doc)
		}
	}
}

func parseOne(text []byte) (*Document, error) {
	data, err := yaml.YAMLToJSONStrict(text)
	if err != nil {
		return nil, err
	}
	if bytes.Equal(data, []byte("null")) {
		return nil, nil
	}
	doc := &Document{}
	if err := strict(data, doc); err != nil {
		return nil, err
	}
	return doc, nil
}

// located puts a place before each of the errors that err joins.
func located(place string, err error) []error {
	var located []error
	for _, e := range joined(err) {
		located = append(located, fmt.Errorf("%s: %w", place, e))
	}
	return located
}

// joined returns the errors that errors.Join made one of.
func joined(err error) []error {
	if many, ok := err.(interface{ Unwrap() []error }); ok { // a wrapped list is one error
		return many.Unwrap()
	}
	if err == nil {
		return nil
	}
	return []error{err}
}
