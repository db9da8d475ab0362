package localapi

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"langkeep/agent/clients"
	"langkeep/agent/connect"
	"langkeep/localapi/client"
	"langkeep/localapi/guard"
	"langkeep/localapi/words"
)

// isProjectID tells whether a project's id has the form that an entry takes.
func isProjectID(id string) bool {
	return id != "" && len(id) <= 64 && strings.Trim(id, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-") == ""
}

// link checks where an entry is to lead.
func (s *Server) link(profile, project string, builder bool) (connect.Link, error) {
	l := connect.Link{Profile: profile, Project: project, Builder: builder}
	switch {
	case profile == "":
		return l, client.NewProblem(client.TypeBadRequest, "name a profile")
	case project != "" && (builder || !isProjectID(project)):
		return l, client.NewProblem(client.TypeBadRequest, "project must be a project's id, and goes without builder")
	}
	_, err := s.Agent.Profile(profile)
	return l, err
}

// tools lists all tools. With a profile in the query it has the entry to copy for any
// other, and the recipes for programs.
func (s *Server) tools(w http.ResponseWriter, r *http.Request, _ *guard.Caller, _ string) error {
	query := r.URL.Query()
	var all struct {
		Tools   []connect.State `json:"tools"`
		Snippet *string         `json:"snippet"`
		Recipes []client.Recipe `json:"recipes"`
	}
	all.Recipes = []client.Recipe{} // never null
	builder, err := builderOf(query)
	if err != nil {
		return err
	}
	if query.Get("profile") != "" {
		link, err := s.link(query.Get("profile"), query.Get("project"), builder)
		if err != nil {
			return err
		}
		snippet, err := s.Tools.Snippet(link)
		if err != nil {
			return toolProblem(err)
		}
		all.Snippet = &snippet
		snapshot, err := s.Agent.Profile(link.Profile)
		if err != nil {
			return err
		}
		all.Recipes = words.Recipes(Present(snapshot))
	}
	if all.Tools, err = s.Tools.States(r.Context()); err != nil {
		return toolProblem(err)
	}
	return answer(w, http.StatusOK, all)
}

// builderOf reads builder in a query; without it, it is false.
func builderOf(query url.Values) (bool, error) {
	builder := query.Get("builder")
	if query.Has("builder") && builder != "true" && builder != "false" {
		return false, client.NewProblem(client.TypeBadRequest, "builder must be true or false")
	}
	return builder == "true", nil
}

// connectTool writes an entry into a tool's own file, or says what that would change.
func (s *Server) connectTool(w http.ResponseWriter, r *http.Request, caller *guard.Caller, name string) error {
	var body client.ConnectTool
	if err := read(r, &body); err != nil {
		return err
	}
	tool, err := toolOf(name)
	if err != nil {
		return err
	}
	link, err := s.link(body.Profile, body.Project, body.Builder)
	if err != nil {
		return err
	}
	if !tool.SpeaksMCP() {
		return client.NewProblem(client.TypeNotSupported, tool.Title+" takes an environment: connect it with langkeep connect "+tool.Name)
	}
	edit, err := s.Tools.Prepare(tool, link)
	if err != nil {
		return toolProblem(err)
	}
	change := client.ToolChange{File: edit.Path, Changes: edit.Changes(), Diff: edit.Diff()}
	if change.Diff == nil {
		change.Diff = []string{} // never null
	}
	if body.Preview || !change.Changes {
		s.noteAbout(r, caller, link.Profile, "preview POST "+toolPath, tool.Name)
		return answer(w, http.StatusOK, change)
	}
	old, _, err := s.Tools.Records.Find(tool.Name, link.Profile, link.Builder)
	if err != nil {
		return toolProblem(err)
	}
	if _, _, err := s.Tools.Records.Make(r.Context(), tool, link, edit, ""); err != nil {
		return toolProblem(err)
	}
	// Nothing uses the token of an earlier entry any more.
	if err := s.endToken(old); err != nil {
		return err
	}
	s.noteAbout(r, caller, link.Profile, "POST "+toolPath, tool.Name)
	return answer(w, http.StatusOK, change)
}

// endToken revokes the client whose token was in an entry. It is no error if it has
// gone.
func (s *Server) endToken(n connect.Record) error {
	if n.Client == "" {
		return nil
	}
	if err := s.Clients.Revoke(n.Client); err != nil && !errors.Is(err, clients.ErrNone) {
		return clientProblem(err)
	}
	return nil
}

// disconnectTool takes a profile's entries back: both, or with builder in the query the
// one.
func (s *Server) disconnectTool(w http.ResponseWriter, r *http.Request, caller *guard.Caller, name string) error {
	tool, err := toolOf(name)
	if err != nil {
		return err
	}
	query := r.URL.Query()
	builder, err := builderOf(query)
	if err != nil {
		return err
	}
	all, err := s.Tools.Records.All()
	if err != nil {
		return toolProblem(err)
	}
	all = slices.DeleteFunc(all, func(n connect.Record) bool {
		return n.Tool != tool.Name || n.Profile != query.Get("profile") || query.Has("builder") && n.Builder != builder
	})
	if len(all) == 0 {
		return client.NewProblem(client.TypeNotFound, tool.Title+" is not connected to that profile: name one with ?profile=")
	}
	taken := client.TakenBack{Backups: []string{}}
	for _, n := range all {
		left, err := s.takeBack(r.Context(), n)
		if err != nil {
			return err
		}
		if left != "" {
			taken.Backups = append(taken.Backups, left)
		}
	}
	s.noteAbout(r, caller, query.Get("profile"), "DELETE "+toolPath, tool.Name)
	return answer(w, http.StatusOK, taken)
}

func (s *Server) takeBack(ctx context.Context, n connect.Record) (left string, err error) {
	// The token first: it is worth something wherever it was copied to.
	if err := s.endToken(n); err != nil {
		return "", err
	}
	if left, err = s.Tools.TakeBack(ctx, n); err != nil {
		return "", toolProblem(err)
	}
	return left, nil
}

// toolOf finds a tool by its name.
func toolOf(name string) (*connect.Tool, error) {
	tool, err := connect.Find(name)
	if err != nil {
		return nil, client.NewProblem(client.TypeNotFound, err.Error())
	}
	return tool, nil
}

// toolProblem is the answer where a tool's file, or the list of connections, can't be
// used as it is: a person has to mend it.
func toolProblem(err error) error {
	return client.NewProblem(client.TypeConflict, err.Error())
}
