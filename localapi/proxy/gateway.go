package proxy

import (
	"net/http"
	"net/url"

	"langkeep/agent/langflow"
)

// gatewayRefusal is a gateway's refusal of a request that was passed on.
type gatewayRefusal struct{ *langflow.Error }

// gatewayError returns the refusal in an answer, nil if it is none. A tool that followed
// a gateway's redirect would take the sign-in page for an answer of Langflow's. res is nil
// where there is no answer.
func gatewayError(res *http.Response, upstream *url.URL) *gatewayRefusal {
	if res == nil {
		return nil
	}
	if e := langflow.GatewayRefusal(res, upstream); e != nil {
		return &gatewayRefusal{e}
	}
	return nil
}

// drop gives up the answer and returns the refusal as an error.
func (g *gatewayRefusal) drop(res *http.Response) error {
	_ = res.Body.Close() // of an answer that nobody reads
	return g.Error
}
