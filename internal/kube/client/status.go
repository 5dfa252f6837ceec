package client

import (
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// maxStatus is how many bytes of an error's body are read.
const maxStatus = 64 << 10

// statusError makes an error of an answer that is not 2xx: the metav1.Status that the server sent, or one made up from the code.
func statusError(resp *http.Response, r Request) *apierrors.StatusError {
	body, _ := io.ReadAll(io.LimitReader(resp.Body, maxStatus)) // a broken body leaves the code, which decides
	body = Withhold(resp, body)
	wait := retryAfter(resp)
	var sent metav1.Status
	if json.Unmarshal(body, &sent) != nil || sent.Kind != "Status" || sent.Status != metav1.StatusFailure {
		message := strings.TrimSpace(string(body[:min(len(body), 1024)]))
		made := apierrors.NewGenericServerResponse(resp.StatusCode, r.Method, schema.GroupResource{}, "", message, wait, true)
		made.ErrStatus.Message += " (" + r.Method + " " + r.Path + ")"
		return made
	}
	made := apierrors.NewGenericServerResponse(resp.StatusCode, r.Method, schema.GroupResource{}, "", "", wait, false)
	if sent.Code == 0 {
		sent.Code = int32(resp.StatusCode) //nolint:gosec // three digits
	}
	if sent.Reason == "" {
		sent.Reason = made.ErrStatus.Reason
	}
	if wait > 0 {
		if sent.Details == nil {
			sent.Details = &metav1.StatusDetails{}
		}
		sent.Details.RetryAfterSeconds = max(sent.Details.RetryAfterSeconds, int32(wait)) //nolint:gosec // bounded by retryAfter
	}
	return &apierrors.StatusError{ErrStatus: sent}
}

// retryAfter is the header's value in seconds, at most an hour; 0 if there is none.
func retryAfter(resp *http.Response) int {
	value := resp.Header.Get("Retry-After")
	seconds, err := strconv.Atoi(value)
	if err != nil {
		at, err := http.ParseTime(value)
		if err != nil {
			return 0
		}
		sent, err := http.ParseTime(resp.Header.Get("Date")) // the server's clock, not ours
		if err != nil {
			return 0
		}
		seconds = int((at.Sub(sent) + time.Second - 1) / time.Second)
	}
	return min(max(seconds, 0), 3600)
}
