package localapi

import (
	_ "embed"
	"net/http"

	"langkeep/localapi/guard"
)

//go:embed openapi.yaml
var openAPI []byte

func (s *Server) openapi(w http.ResponseWriter, _ *http.Request, _ *guard.Caller, _ string) error {
	w.Header().Set("Content-Type", "application/yaml")
	_, _ = w.Write(openAPI) // fails only if the client has gone
	return nil
}
