package langflowtest

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"sort"
	"strings"
	"time"
)

// apiKey is an API key and what its server knows of it.
type apiKey struct {
	id, account, name      string
	created, expires, used time.Time // expires, used: zero if never
	uses                   int
}

// newKey makes a key. mu must be held.
func (s *Server) newKey(a *account, name string, expires time.Time) (string, *apiKey) {
	key := "sk-" + rand.Text()
	s.made++
	k := &apiKey{
		id: fmt.Sprintf("00000000-0000-4000-9000-%012d", s.made), account: a.id, name: name,
		created: s.o.Now().Truncate(time.Second), expires: expires.Truncate(time.Second),
	}
	s.keys[key] = k
	return key, k
}

// byKey returns a valid key's account and counts the use, nil if the key is not
// valid. mu must be held.
func (s *Server) byKey(key string) *account {
	k := s.keys[key]
	if k == nil || !k.expires.IsZero() && !s.o.Now().Before(k.expires) {
		return nil
	}
	a := s.byID(k.account)
	if a == nil || a.Inactive {
		return nil
	}
	k.uses++
	k.used = s.o.Now()
	return a
}

// apiKeys serves /api_key/ and what is below it. mu must be held.
func (s *Server) apiKeys(r *http.Request, id string) reply {
	a, refused := s.byCredential(r)
	switch {
	case a == nil:
		return refused
	case id == "" && r.Method == http.MethodGet:
		return s.listKeys(a)
	case id == "" && r.Method == http.MethodPost:
		return s.createKey(a, r)
	case id != "" && r.Method == http.MethodDelete:
		return s.deleteKey(a, id)
	}
	return refuse(405, "Method Not Allowed")
}

func (s *Server) listKeys(a *account) reply {
	all := []map[string]any{}
	for key, k := range s.keys {
		if k.account == a.id {
			all = append(all, s.keyJSON(k, key[:8]+strings.Repeat("*", len(key)-8)))
		}
	}
	sort.Slice(all, func(i, j int) bool { return all[i]["id"].(string) < all[j]["id"].(string) })
	return answer(200, map[string]any{"total_count": len(all), "user_id": a.id, "api_keys": all})
}

func (s *Server) createKey(a *account, r *http.Request) reply {
	var req struct {
		Name      string     `json:"name"`
		ExpiresAt *time.Time `json:"expires_at"`
	}
	if err := json.NewDecoder(r.Body).Decode(&req); err != nil {
		return refuse(422, []any{map[string]any{"type": "json_invalid", "loc": []string{"body"}, "msg": "JSON decode error"}})
	}
	var expires time.Time
	if req.ExpiresAt != nil && s.version.keyExpiry {
		expires = *req.ExpiresAt
	}
	key, k := s.newKey(a, req.Name, expires)
	made := s.keyJSON(k, key)
	delete(made, "created_at")
	return answer(200, made)
}

func (s *Server) deleteKey(a *account, id string) reply {
	for key, k := range s.keys {
		if k.id == id && k.account == a.id {
			delete(s.keys, key)
			return answer(200, map[string]string{"detail": "API Key deleted"})
		}
	}
	return refuse(400, "API Key not found")
}

// keyJSON is a key as the server shows it. Older versions know no end of keys,
// and drop one that they are sent.
func (s *Server) keyJSON(k *apiKey, shown string) map[string]any {
	v := map[string]any{
		"id": k.id, "name": k.name, "api_key": shown, "user_id": k.account, "is_active": true, "total_uses": k.uses,
		"created_at": iso(k.created), "last_used_at": iso(k.used),
	}
	if s.version.keyExpiry {
		v["expires_at"] = iso(k.expires)
	}
	return v
}

// iso is a time as Python writes it, nil for none.
func iso(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UTC().Format("2006-01-02T15:04:05+00:00")
}
