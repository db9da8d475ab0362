package secret

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/pelletier/go-toml/v2"
)

const hidden = "hunter2-hunter2"

func TestNothingPrintsASecret(t *testing.T) {
	s := New(hidden)
	type exported struct{ S Text }
	type unexported struct{ s Text }
	type pointer struct{ s *Text }
	for name, v := range map[string]any{
		"itself": s, "pointer": &s, "exported": exported{s}, "unexported": unexported{s},
		"deep": pointer{&s}, "slice": []Text{s}, "map": map[string]Text{"a": s}, "in a slice": []unexported{{s}},
	} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%T"} {
			if out := fmt.Sprintf(verb, v); strings.Contains(out, hidden) || strings.Contains(out, fmt.Sprintf("%x", hidden)) {
				t.Errorf("%s with %s prints %q", name, verb, out)
			}
		}
		if out, err := json.Marshal(v); err == nil && strings.Contains(string(out), hidden) {
			t.Errorf("%s marshals to %s", name, out)
		}
		var log bytes.Buffer
		slog.New(slog.NewTextHandler(&log, nil)).Info("m", "v", v)
		slog.New(slog.NewJSONHandler(&log, nil)).Info("m", "v", v)
		if strings.Contains(log.String(), hidden) {
			t.Errorf("%s is logged as %s", name, log.String())
		}
	}
	if out, err := toml.Marshal(exported{s}); err != nil || strings.Contains(string(out), hidden) {
		t.Errorf("as TOML: %s, %v", out, err)
	}
	if err := errors.Join(fmt.Errorf("bad %v", s), fmt.Errorf("bad %s", s)); strings.Contains(err.Error(), hidden) {
		t.Error("an error has the secret")
	}
}

func TestRevealAndEqual(t *testing.T) {
	if New(hidden).Reveal() != hidden || !New("").Empty() || New("a").Empty() || (Text{}).Reveal() != "" {
		t.Error("Reveal or Empty is wrong")
	}
	if !New(hidden).Equal(New(hidden)) || New(hidden).Equal(New("hunter2")) || New("a").Equal(Text{}) || !New("").Equal(Text{}) {
		t.Error("Equal is wrong")
	}
}

func TestUnmarshalJSON(t *testing.T) {
	var v struct{ P Text }
	if err := json.Unmarshal([]byte(`{"P":"hunter2"}`), &v); err != nil || v.P.Reveal() != "hunter2" {
		t.Errorf("got %v, %v", v.P.Reveal(), err)
	}
	err := json.Unmarshal([]byte(`{"P":[12345]}`), &v)
	if err == nil || strings.Contains(err.Error(), "12345") {
		t.Errorf("a number as a secret: %v", err)
	}
}
