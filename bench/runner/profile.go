package runner

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/pprof"
)

// ProfileInto writes CPU and heap profiles of the load phase into a folder: NAME.cpu.pprof and NAME.heap.pprof. The heap
// is that of the end, with the subject still there.
func ProfileInto(folder string) func(begin bool, during string) error {
	var cpu *os.File
	return func(begin bool, during string) error {
		if err := os.MkdirAll(folder, 0o750); err != nil {
			return err
		}
		base := filepath.Join(folder, during)
		if begin {
			var err error
			if cpu, err = os.Create(base + ".cpu.pprof"); err != nil {
				return err
			}
			return pprof.StartCPUProfile(cpu)
		}
		pprof.StopCPUProfile()
		heap, err := os.Create(base + ".heap.pprof")
		if err != nil {
			return errors.Join(err, cpu.Close())
		}
		runtime.GC()
		runtime.GC()
		if err := pprof.Lookup("heap").WriteTo(heap, 0); err != nil {
			err = fmt.Errorf("writing the heap profile: %w", err)
			return errors.Join(err, cpu.Close(), heap.Close())
		}
		return errors.Join(cpu.Close(), heap.Close())
	}
}
