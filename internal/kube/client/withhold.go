package client

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"

	"k8s.io/client-go/rest"
)

const (
	withheld    = "(withheld)"
	leastSecret = 4 // bytes; shorter texts are no secrets, and removing them would garble the message
)

// errProxy stands for errors of net/http that quote a proxy's address with its password.
var errProxy = errors.New("the proxy's address, in the kubeconfig or the environment, is not one that can be used")

// Withhold removes the credentials of a request from the text of its answer: some servers and gateways quote them in errors, which end up
// in logs.
func Withhold(resp *http.Response, text []byte) []byte {
	if resp.Request == nil {
		return text
	}
	for _, secret := range secrets(resp.Request.Header.Get("Authorization")) {
		text = bytes.ReplaceAll(text, []byte(secret), []byte(withheld))
	}
	return text
}

// secrets are the forms in which the credentials of an Authorization header may be quoted, the longest first.
func secrets(authorization string) []string {
	scheme, sent, _ := strings.Cut(authorization, " ")
	sent = strings.TrimSpace(sent)
	found := []string{sent, base64.StdEncoding.EncodeToString([]byte(sent))}
	if strings.EqualFold(scheme, "Basic") {
		if plain, err := base64.StdEncoding.DecodeString(sent); err == nil {
			_, password, _ := strings.Cut(string(plain), ":")
			found = append(found, string(plain), password)
		}
	}
	for _, secret := range found[:len(found):len(found)] {
		quoted, err := json.Marshal(secret)
		if err == nil {
			found = append(found, strings.Trim(string(quoted), `"`))
		}
		found = append(found, url.QueryEscape(secret))
	}
	var long []string
	for _, secret := range found {
		if len(secret) >= leastSecret {
			long = append(long, secret)
		}
	}
	return long
}

// Guarded is a copy of cfg for clients other than [Conn]: their errors hold no credentials either.
func Guarded(cfg *rest.Config) *rest.Config {
	cfg = rest.CopyConfig(cfg)
	cfg.Wrap(func(next http.RoundTripper) http.RoundTripper { return withholding{next} })
	if cfg.Proxy == nil {
		cfg.Proxy = http.ProxyFromEnvironment
	}
	cfg.Proxy = quietProxy(cfg.Proxy)
	return cfg
}

func quietProxy(proxy func(*http.Request) (*url.URL, error)) func(*http.Request) (*url.URL, error) {
	return func(r *http.Request) (*url.URL, error) {
		u, err := proxy(r)
		if err != nil {
			return nil, errProxy
		}
		return u, nil
	}
}

// withholding is a transport, below the one that adds credentials, that takes them out of errors.
type withholding struct{ next http.RoundTripper }

func (t withholding) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := t.next.RoundTrip(req)
	if err != nil || resp.StatusCode < http.StatusMultipleChoices {
		return resp, err
	}
	body, _ := io.ReadAll(io.LimitReader(resp.Body, maxStatus)) // a broken body leaves the code, which decides
	_ = resp.Body.Close()
	resp.Request = req
	body = Withhold(resp, body)
	resp.Body, resp.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	return resp, nil
}
