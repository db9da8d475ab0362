package proxy

import (
	"bytes"
	"encoding/json"
	"io"
	"mime"
	"net/http"
	"slices"
	"strings"
	"sync"

	"langkeep/localapi/guard"
)

const (
	jobsEach    = 256      // jobs that are known of a client, the latest
	jobsClients = 256      // clients of which any are known, those that began one last
	jobAnswer   = 64 << 10 // bytes of an answer in which a job's id is looked for
)

// jobs are the background runs of workflows that clients have begun here. With a
// job's id a server tells the whole account the result of a run, and, if its client has
// asked for that, the values that its components handed to each other. A client without
// the scope for the results of runs may ask for its own jobs alone. The list ends with
// the agent.
type jobs struct {
	sync.Mutex // protects the following
	clients    []jobsOf
}

type jobsOf struct {
	caller string
	ended  <-chan struct{} // a client of the same name, made anew, is another one
	ids    []string
}

func (j *jobs) at(c *guard.Caller) int {
	return slices.IndexFunc(j.clients, func(of jobsOf) bool { return of.caller == c.Name && of.ended == c.Ended })
}

// begun notes a job of a client.
func (j *jobs) begun(c *guard.Caller, id string) {
	j.Lock()
	defer j.Unlock()
	of := jobsOf{caller: c.Name, ended: c.Ended}
	if i := j.at(c); i >= 0 {
		of = j.clients[i]
		j.clients = slices.Delete(j.clients, i, i+1)
	}
	if of.ids = append(of.ids, id); len(of.ids) > jobsEach {
		of.ids = slices.Delete(of.ids, 0, len(of.ids)-jobsEach)
	}
	if j.clients = append(j.clients, of); len(j.clients) > jobsClients {
		j.clients = slices.Delete(j.clients, 0, len(j.clients)-jobsClients)
	}
}

// has tells whether a client has begun a job.
func (j *jobs) has(c *guard.Caller, id string) bool {
	j.Lock()
	defer j.Unlock()
	i := j.at(c)
	return i >= 0 && slices.Contains(j.clients[i].ids, bareID(id))
}

// bareID is a UUID in the form in which it is compared: servers write it in lower case,
// and read it with hyphens or without.
func bareID(id string) string { return strings.ToLower(strings.ReplaceAll(id, "-", "")) }

// noteJob notes the job that an answer says a client has begun. The answer can still
// be read from its beginning.
func (h *Handler) noteJob(c *guard.Caller, res *http.Response) {
	kind, _, err := mime.ParseMediaType(res.Header.Get("Content-Type"))
	if err != nil || kind != "application/json" || res.Header.Get("Content-Encoding") != "" {
		return
	}
	start, _ := io.ReadAll(io.LimitReader(res.Body, jobAnswer)) // an error comes again to who reads on
	res.Body = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(start), res.Body), res.Body}
	d := json.NewDecoder(bytes.NewReader(start))
	if begin, err := d.Token(); err != nil || begin != json.Delim('{') {
		return
	}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return
		}
		if name == "job_id" {
			if id, err := d.Token(); err == nil {
				if id, ok := id.(string); ok && uuid().MatchString(id) {
					h.jobs.begun(c, bareID(id))
				}
			}
			return
		}
		var passed json.RawMessage
		if d.Decode(&passed) != nil {
			return
		}
	}
}
