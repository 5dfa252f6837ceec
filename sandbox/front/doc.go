// Package front makes several API servers look like one kcp: under one https address, each answers below /clusters/<name>/ of
// its workspace, whose name may be a path (root:team-a).
//
// Where kcp answers by itself, so does the front, with a Status as JSON: 401 without a bearer token, 403 for a workspace that
// does not exist (kcp does not tell that from one that may not be entered), 503 for a workspace whose API server does not
// answer, 404 for any other path. /livez, /readyz and /healthz answer 200. It does not serve /clusters/*.
//
// Every request to a workspace is counted by what it asks for, so that a test can say what reached the API servers.
package front
