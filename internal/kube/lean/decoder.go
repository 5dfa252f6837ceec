package lean

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/upstreamd/upstreamd/internal/ref"
)

// Decoder reads objects, lists or watch events from the JSON body of an answer. It is not safe for concurrent use.
type Decoder struct {
	limits Limits
	meter  *meter
	scan   scanner
	broken int // lines in a row that could not be read
	census *census
}

// NewDecoder reads the wanted fields from body.
func NewDecoder(body io.Reader, want ref.Want, limits Limits) *Decoder {
	limits = limits.withDefaults()
	m := &meter{in: body, total: math.MaxInt64, object: limits.Object, most: limits.List}
	return &Decoder{
		limits: limits,
		meter:  m,
		scan:   scanner{tokens: newTokens(m), keep: newKeep(want)},
	}
}

// Object reads a body that holds one object. The object's Err names fields that cannot be read; the error returned is one
// of transport: then nothing is known about the object.
func (d *Decoder) Object() (*ref.Object, error) {
	d.scan.borrow()
	defer d.scan.giveBack()
	d.allow(d.limits.Object)
	o := &ref.Object{}
	err := d.guard(func() error { return d.scan.object(o) })
	if err != nil {
		if err := d.transportError(err); err != nil && !errors.Is(err, ErrTooLarge) {
			return nil, err
		}
		spoil(o, err)
	}
	return o, nil
}

// Page is one page of a list.
type Page struct {
	Objects         []*ref.Object
	ResourceVersion string
	Continue        string // token for the next page; empty on the last one

	size int64 // bytes that were read of it
}

// List reads a body that holds a list. A page that can't be read to its end is an error: half a list would count as deletions.
func (d *Decoder) List() (Page, error) { return d.list(d.limits.List) }

// list is List with the number of bytes that are left after earlier pages.
func (d *Decoder) list(left int64) (Page, error) {
	var page Page
	var isList bool
	d.scan.strs = strs{}
	d.meter.total = left
	d.allow(d.limits.Object)
	err := d.guard(func() error {
		return d.scan.members("list", func(name []byte) error {
			d.allow(d.limits.Object)
			switch string(name) {
			case "metadata":
				return d.scan.members("metadata", func(name []byte) error {
					switch string(name) {
					case "resourceVersion":
						return d.scan.text("metadata.resourceVersion", &page.ResourceVersion)
					case "continue":
						return d.scan.text("metadata.continue", &page.Continue)
					default:
						return d.scan.skip()
					}
				})
			case "items":
				isList = true
				return d.scan.elements("items", func() error {
					d.allow(d.limits.Object)
					o := &ref.Object{}
					if err := d.scan.object(o); err != nil {
						return fmt.Errorf("%s: %w", identity(o), err)
					}
					page.Objects = append(page.Objects, o)
					return d.census.enlist(o)
				})
			default:
				return d.scan.skip()
			}
		})
	})
	switch {
	case err != nil:
		return Page{}, fmt.Errorf("read list: %w", err)
	case !isList:
		return Page{}, errors.New("read list: the answer is not a list")
	}
	page.size = left - d.meter.total
	return page, nil
}

// Event is one event of a watch.
type Event struct {
	Type            watch.EventType
	Object          *ref.Object            // ADDED, MODIFIED, DELETED
	ResourceVersion string                 // of the object or bookmark; empty if it could not be read
	InitialEnd      bool                   // BOOKMARK: the initial events end here
	Err             *apierrors.StatusError // ERROR
}

// errNoEvent is the error of a JSON value in the place of an event.
var errNoEvent = fmt.Errorf("%w: not a watch event", errMalformed)

// maxBroken is how many broken lines in a row are taken for broken events. More mean that this is no watch.
const maxBroken = 8

// Event reads the next event of a watch. An event that can't be read is handed on as MODIFIED, or by its own type, with the
// object's Err set; reading goes on with the next line. The error is io.EOF where the stream ended between two events; after any error the stream is at its end.
func (d *Decoder) Event() (Event, error) {
	var e Event
	if d.scan.strs == nil {
		d.scan.strs = strs{}
	}
	d.allow(d.limits.Object)
	start := d.scan.offset()
	err := d.guard(func() error { return d.event(&e) })
	if err == nil {
		d.broken = 0
		return e, nil
	}
	if err == io.EOF { //nolint:errorlint // the decoder returns io.EOF itself
		return Event{}, io.EOF
	}
	if transport := d.transportError(err); transport != nil && (!errors.Is(transport, ErrTooLarge) || unnamed(e.Object)) {
		return Event{}, transport
	}
	if e.Type == watch.Error {
		return Event{}, fmt.Errorf("unreadable ERROR event: %w", err)
	}
	if d.broken++; d.broken > maxBroken {
		return Event{}, fmt.Errorf("%d lines in a row are not watch events: %w", d.broken, err)
	}
	if err := d.resume(err, start); err != nil && unnamed(e.Object) {
		return Event{}, err
	}
	if e.Object == nil {
		e.Object = &ref.Object{}
	}
	if e.Type != watch.Added && e.Type != watch.Deleted {
		e.Type = watch.Modified
	}
	spoil(e.Object, err)
	return e, nil
}

// resume takes up reading behind the event that began at start and could not be read. If that fails, so does the next read.
func (d *Decoder) resume(broken error, start int64) error {
	if errors.Is(broken, errNoEvent) {
		return nil // it was read to its end
	}
	d.meter.err = nil
	d.allow(8 * d.limits.Object)
	return d.scan.skipLine(start)
}

func unnamed(o *ref.Object) bool { return o == nil || o.Name == "" }

// event reads {"type": …, "object": …}. API servers send the type first; otherwise the object is read again.
func (d *Decoder) event(e *Event) error {
	*e = Event{}
	if _, err := d.scan.peek(); err != nil {
		return err
	}
	var early []byte
	var kind string
	err := d.scan.members("event", func(name []byte) error {
		switch string(name) {
		case "type":
			err := d.scan.sharedText("type", &kind)
			e.Type = watch.EventType(kind)
			return err
		case "object":
			if e.Type == "" {
				return d.scan.raw(&early)
			}
			return d.payload(e, &d.scan)
		default:
			return d.scan.skip()
		}
	})
	if err != nil {
		return err
	}
	if early != nil {
		late := scanner{tokens: tokensOf(early), keep: d.scan.keep, strs: d.scan.strs, specs: d.scan.specs}
		err = d.payload(e, &late)
	}
	if err == nil && !e.complete() {
		return errNoEvent
	}
	return err
}

func (e *Event) complete() bool {
	switch e.Type {
	case watch.Added, watch.Modified, watch.Deleted:
		return e.Object != nil
	case watch.Error:
		return e.Err != nil
	default:
		return e.Type != ""
	}
}

// payload reads the event's object according to the event's type.
func (d *Decoder) payload(e *Event, s *scanner) error {
	switch e.Type {
	case watch.Added, watch.Modified, watch.Deleted:
		e.Object = &ref.Object{}
		err := s.object(e.Object)
		e.ResourceVersion = e.Object.ResourceVersion
		return err
	case watch.Bookmark:
		o := ref.Object{}
		mark := scanner{tokens: s.tokens, keep: bookmarks, strs: s.strs}
		err := mark.object(&o)
		e.ResourceVersion = o.ResourceVersion
		e.InitialEnd = o.Annotations[metav1.InitialEventsAnnotationKey] == "true"
		return err
	case watch.Error:
		value, err := s.value()
		if err != nil {
			return err
		}
		e.Err = &apierrors.StatusError{}
		if err := json.Unmarshal(value, &e.Err.ErrStatus); err != nil {
			e.Err.ErrStatus = metav1.Status{Message: fmt.Sprintf("unreadable ERROR event: %v", err)}
		}
		if e.Err.ErrStatus.Code == 0 {
			e.Err.ErrStatus.Code = 500
		}
		if e.Err.ErrStatus.Reason == "" && e.Err.ErrStatus.Code == 500 {
			e.Err.ErrStatus.Reason = metav1.StatusReasonInternalError
		}
		return nil
	default:
		return s.skip()
	}
}

var bookmarks = newKeep(ref.Want{Annotations: []string{metav1.InitialEventsAnnotationKey}})

// allow lets the decoder read up to size bytes from where it stands now (and the line break before).
func (d *Decoder) allow(size int64) { d.meter.limit = d.scan.offset() + size + 1 }

// guard turns a panic of the decoder into an error: one object must not end the process.
func (d *Decoder) guard(read func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%w: decoder panicked: %v", errMalformed, r)
		}
	}()
	return read()
}

// transportError is err if it is one of reading, and nil if it is one of syntax.
func (d *Decoder) transportError(err error) error {
	switch {
	case d.meter.err != nil:
		return d.meter.err
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return io.ErrUnexpectedEOF
	}
	return nil
}

// spoil marks an object that was not read to its end.
func spoil(o *ref.Object, err error) {
	o.Status, o.Spec, o.SpecHash, o.Raw = nil, nil, 0, nil
	if o.Err == nil {
		o.Err = err
	}
}
