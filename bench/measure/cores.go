package measure

import (
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// Available are the cores that this process may use.
func Available() ([]int, error) {
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		return nil, err
	}
	var cores []int
	for core := 0; len(cores) < set.Count(); core++ {
		if set.IsSet(core) {
			cores = append(cores, core)
		}
	}
	return cores, nil
}

// Cores pins a process, all its threads and all that they start from now on to some cores of the machine.
func Cores(pid int, cores ...int) error {
	var set unix.CPUSet
	for _, core := range cores {
		set.Set(core)
	}
	seen := map[int]bool{}
	for { // a thread that was not kept yet may have started another meanwhile
		threads, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
		if err != nil {
			return err
		}
		found := false
		for _, thread := range threads {
			id, err := strconv.Atoi(thread.Name())
			if err != nil || seen[id] {
				continue
			}
			if err := unix.SchedSetaffinity(id, &set); err != nil && err != unix.ESRCH { // ESRCH: it has ended
				return fmt.Errorf("keeping thread %d to cores %v: %w", id, cores, err)
			}
			seen[id], found = true, true
		}
		if !found {
			return nil
		}
	}
}
