// Package front is a reverse proxy that makes several API servers look like one kcp: under one https address, each workspace is
// served below /clusters/<name>/. A workspace's name may be a path (root:team-a).
//
// Like kcp, the front itself answers some requests, with a JSON Status: 401 without a bearer token, 403 for a workspace that
// does not exist (kcp does not distinguish it from a forbidden one), 503 if the workspace's API server does not answer, 404 for any
// other path. /livez, /readyz and /healthz answer 200. It does not serve /clusters/*.
//
// The front counts every request to a workspace by verb and resource, so that a test can check the calls to the API servers.
package front
