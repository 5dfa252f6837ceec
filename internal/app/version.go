package app

import (
	"runtime"
	"runtime/debug"
)

// Version identifies the build.
type Version struct {
	Version  string `json:"version"`            // of the module, as Go derives it from the checkout; (devel) without one
	Revision string `json:"revision,omitempty"` // commit
	Dirty    bool   `json:"dirty,omitempty"`    // built from a changed checkout
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

// BuildVersion reads the build information of this program.
func BuildVersion() Version {
	v := Version{Version: "(devel)", Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	if info.Main.Version != "" {
		v.Version = info.Main.Version
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			v.Revision = s.Value
		case "vcs.modified":
			v.Dirty = s.Value == "true"
		}
	}
	return v
}
