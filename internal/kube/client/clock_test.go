package client

import (
	"net/http"
	"testing"
	"time"
)

func TestClock(t *testing.T) {
	var c clock
	now := time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC)
	observe := func(ahead, took time.Duration) {
		c.observe(now.Add(took/2+ahead).Format(http.TimeFormat), now, now.Add(took))
	}
	within := func(step string, offset, doubt time.Duration) {
		t.Helper()
		got := c.last.Load()
		if got == nil || (got.Offset-offset).Abs() > got.Doubt || got.Doubt != doubt {
			t.Errorf("%s: %+v, want about %v, in doubt by %v", step, got, offset, doubt)
		}
	}
	c.observe("yesterday", now, now)
	if c.last.Load() != nil {
		t.Error("a Date that is none was taken")
	}
	observe(30*time.Second, 10*time.Second)
	within("a slow answer", 30*time.Second, 5500*time.Millisecond)
	observe(30*time.Second, 100*time.Millisecond)
	within("a quick one is more certain", 30*time.Second, 550*time.Millisecond)
	now = now.Add(time.Minute)
	observe(30*time.Second, 10*time.Second)
	within("a slow one that agrees teaches nothing", 30*time.Second, 550*time.Millisecond)
	observe(-30*time.Second, 10*time.Second)
	within("the clock was set", -30*time.Second, 5500*time.Millisecond)
	now = now.Add(time.Hour)
	observe(-30*time.Second, 20*time.Second)
	within("after an hour a clock may have drifted", -30*time.Second, 10500*time.Millisecond)
}
