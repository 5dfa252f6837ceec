package serving

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/time/rate"
	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/cache"
	"k8s.io/client-go/rest"

	"github.com/upstreamd/upstreamd/internal/kube/client"
)

const (
	keepVerdict   = 10 * time.Second // how long a client that lost a right is still admitted
	keptVerdicts  = 1024
	reviewTimeout = 5 * time.Second
	reviewsPerSec = 20      // unauthenticated clients must not overload the API server
	maxToken      = 8 << 10 // bytes
	maxReview     = 1 << 20 // bytes of an answer
)

// verdict is the result of a review.
type verdict int

const (
	allowed         verdict = iota
	unauthenticated         // the token is not valid
	forbidden               // the user lacks the right
)

// Reviewer authenticates and authorizes clients with a Kubernetes API server: TokenReview, and SubjectAccessReview on nonResourceURLs. While
// the API server does not answer, no client is admitted. It is safe for concurrent use.
type Reviewer struct {
	conn  *client.Conn
	limit *rate.Limiter
	kept  *cache.LRUExpireCache // verdicts, by the hash of token, verb and path
	fails *client.Outage
}

// NewReviewer makes a Reviewer that asks over conn.
func NewReviewer(conn *client.Conn, log zerolog.Logger) *Reviewer {
	return &Reviewer{
		conn: conn, limit: rate.NewLimiter(reviewsPerSec, 2*reviewsPerSec), kept: cache.NewLRUExpireCache(keptVerdicts),
		fails: client.NewOutage(log, "metrics are refused: the API server that reviews requests does not answer", "the API server reviews requests again"),
	}
}

// Renew has it ask with the credentials of cfg from the next review on, which leads to the same server.
func (r *Reviewer) Renew(cfg *rest.Config) error { return r.conn.Renew(cfg) }

// Close cuts its connections. No client is admitted afterwards.
func (r *Reviewer) Close() { r.conn.Close() }

// Guard admits only requests with the bearer token of a user that has the verb of the request's method on its path.
func (r *Reviewer) Guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		token := bearer(req)
		if token == "" {
			refuse(w, http.StatusUnauthorized, "a bearer token is needed")
			return
		}
		v, err := r.review(req.Context(), token, strings.ToLower(req.Method), req.URL.Path)
		if req.Context().Err() == nil { // else the client is gone, which does not concern the API server
			r.note(err)
		}
		switch {
		case err != nil:
			refuse(w, http.StatusServiceUnavailable, "authentication is not available now")
		case v == unauthenticated:
			refuse(w, http.StatusUnauthorized, "the token is not valid")
		case v == forbidden:
			refuse(w, http.StatusForbidden, "forbidden")
		default:
			next.ServeHTTP(w, req)
		}
	})
}

func refuse(w http.ResponseWriter, code int, why string) {
	if code == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", "Bearer")
	}
	http.Error(w, why, code)
}

// bearer is the token of a request; empty if it has none that could be one.
func bearer(req *http.Request) string {
	scheme, token, _ := strings.Cut(req.Header.Get("Authorization"), " ")
	token = strings.TrimSpace(token)
	if !strings.EqualFold(scheme, "Bearer") || len(token) > maxToken {
		return ""
	}
	return token
}

func (r *Reviewer) note(err error) {
	if err == nil {
		r.fails.Over()
		return
	}
	r.fails.Failed(err)
}

func (r *Reviewer) review(ctx context.Context, token, verb, path string) (verdict, error) {
	key := sha256.Sum256([]byte(token + "\x00" + verb + "\x00" + path)) // tokens do not stay in memory
	if kept, ok := r.kept.Get(key); ok {
		if v, ok := kept.(verdict); ok {
			return v, nil
		}
	}
	ctx, cancel := context.WithTimeout(ctx, reviewTimeout)
	defer cancel()
	if err := r.limit.Wait(ctx); err != nil {
		return unauthenticated, fmt.Errorf("too many at once: %w", err)
	}
	v, err := r.ask(ctx, token, verb, path)
	if err == nil {
		r.kept.Add(key, v, keepVerdict)
	}
	return v, err
}

func (r *Reviewer) ask(ctx context.Context, token, verb, path string) (verdict, error) {
	authentication := authenticationv1.TokenReview{
		TypeMeta: metav1.TypeMeta{APIVersion: "authentication.k8s.io/v1", Kind: "TokenReview"},
		Spec:     authenticationv1.TokenReviewSpec{Token: token},
	}
	if err := r.create(ctx, "/apis/authentication.k8s.io/v1/tokenreviews", &authentication); err != nil {
		return unauthenticated, fmt.Errorf("TokenReview: %w", err)
	}
	user := authentication.Status.User
	if !authentication.Status.Authenticated || user.Username == "" {
		return unauthenticated, nil
	}
	authorization := authorizationv1.SubjectAccessReview{
		TypeMeta: metav1.TypeMeta{APIVersion: "authorization.k8s.io/v1", Kind: "SubjectAccessReview"},
		Spec: authorizationv1.SubjectAccessReviewSpec{
			User: user.Username, UID: user.UID, Groups: user.Groups, Extra: map[string]authorizationv1.ExtraValue{},
			NonResourceAttributes: &authorizationv1.NonResourceAttributes{Path: path, Verb: verb},
		},
	}
	for name, values := range user.Extra {
		authorization.Spec.Extra[name] = authorizationv1.ExtraValue(values)
	}
	if err := r.create(ctx, "/apis/authorization.k8s.io/v1/subjectaccessreviews", &authorization); err != nil {
		return unauthenticated, fmt.Errorf("SubjectAccessReview: %w", err)
	}
	if !authorization.Status.Allowed || authorization.Status.Denied {
		return forbidden, nil
	}
	return allowed, nil
}

// create posts a review and takes the answer in its place.
func (r *Reviewer) create(ctx context.Context, path string, review any) error {
	body, err := json.Marshal(review)
	if err != nil {
		return err
	}
	resp, err := r.conn.Do(ctx, client.Request{Method: http.MethodPost, Path: path, Body: body, ContentType: "application/json"})
	if err != nil {
		return err
	}
	defer client.Drain(resp.Body)
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxReview)).Decode(review); err != nil {
		return errors.New("the answer is no review") // it may quote the token
	}
	return nil
}
