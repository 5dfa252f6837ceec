package app

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/go-logr/logr"
	"github.com/rs/zerolog"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/klog/v2"
)

// The forms of a log line.
const (
	LogJSON    = "json"    // for machines: one JSON object a line
	LogConsole = "console" // for people
)

// LogFormats and LogLevels are the arguments of NewLogger, for help and completion.
var (
	LogFormats = []string{LogJSON, LogConsole}
	LogLevels  = []string{"trace", "debug", "info", "warn", "error"}
)

// NewLogger makes the daemon's logger. Its lines are safe for terminals, and bounded.
func NewLogger(w io.Writer, format, level string) (zerolog.Logger, error) {
	if !slices.Contains(LogLevels, level) {
		return zerolog.Nop(), fmt.Errorf("log level %q: must be one of %s", level, strings.Join(LogLevels, ", "))
	}
	parsed, err := zerolog.ParseLevel(level)
	if err != nil {
		return zerolog.Nop(), fmt.Errorf("log level: %w", err)
	}
	switch format {
	case LogJSON:
		w = printable{w}
	case LogConsole:
		w = console(w, time.TimeOnly)
	default:
		return zerolog.Nop(), fmt.Errorf("log format %q: must be one of %s", format, strings.Join(LogFormats, ", "))
	}
	return zerolog.New(w).Level(parsed).With().Timestamp().Logger(), nil
}

// Bridge lets libraries that speak slog write to l. component names the library.
func Bridge(l zerolog.Logger, component string) *slog.Logger {
	return slog.New(&bridge{next: zerolog.NewSlogHandler(l.With().Str("component", component).Logger())})
}

// TakeOverLibraries points the process-wide logs of the Kubernetes libraries (klog, unhandled errors) at l. It is called once
// in the life of a process.
func TakeOverLibraries(l zerolog.Logger) {
	klog.SetLogger(logr.FromSlogHandler(Bridge(l, "klog").Handler()))
	// The second of the built-in handlers delays the caller; no caller here reports errors in a loop without a back-off.
	utilruntime.ErrorHandlers = utilruntime.ErrorHandlers[:1]
}

// bridge keeps a library's attributes from taking the names that each line has already, and objects out of the log: a dead
// letter's record carries the whole message under "message", and a message may hold a tenant's status.
type bridge struct {
	next slog.Handler
}

func (b *bridge) Enabled(ctx context.Context, level slog.Level) bool {
	return b.next.Enabled(ctx, level)
}

func (b *bridge) Handle(ctx context.Context, r slog.Record) error {
	renamed := slog.NewRecord(r.Time, r.Level, r.Message, r.PC)
	r.Attrs(func(a slog.Attr) bool {
		renamed.AddAttrs(rename(a))
		return true
	})
	return b.next.Handle(ctx, renamed)
}

func (b *bridge) WithAttrs(attrs []slog.Attr) slog.Handler {
	renamed := make([]slog.Attr, 0, len(attrs))
	for _, a := range attrs {
		renamed = append(renamed, rename(a))
	}
	return &bridge{next: b.next.WithAttrs(renamed)}
}

func (b *bridge) WithGroup(name string) slog.Handler { return &bridge{next: b.next.WithGroup(name)} }

func rename(a slog.Attr) slog.Attr {
	switch a.Key {
	case zerolog.MessageFieldName:
		if a.Value.Kind() == slog.KindAny {
			return slog.String("message_type", fmt.Sprintf("%T", a.Value.Any()))
		}
		a.Key = "message_text"
	case zerolog.LevelFieldName, zerolog.TimestampFieldName, "component":
		a.Key += "_of_record"
	}
	return a
}
