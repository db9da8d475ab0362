package config

import (
	"os"
	"path/filepath"
	"testing"
)

// A file that can be read can be changed, keeps all that it says, and one that
// can't is left as it is.
func FuzzProfile(f *testing.F) {
	f.Add("schema = 1\n# mine\nserver_url = \"https://x.test\"\nkey_lifetime = \"24h\"\nproxy = true\nproxy_port = 17861\nproxy_allow_origins = [\"https://a.test\"]\n")
	f.Add("server_url = 'https://x.test'\nusername = \"\"\"a\nb\"\"\"\n")
	f.Add("schema = 2\n")
	f.Fuzz(func(t *testing.T, content string) {
		dir := t.TempDir()
		path := filepath.Join(dir, "prod.toml")
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		p, err := LoadProfile(path)
		want := p
		want.ProxyPort, want.Username = 17999, "somebody"
		if err != nil {
			want = Profile{Name: "prod", ServerURL: "https://y.test"}
		}
		saved := SaveProfile(dir, want)
		now, loaded := LoadProfile(path)
		switch {
		case err != nil && saved == nil:
			t.Errorf("what can't be read (%v) was written over", err)
		case err == nil && saved == nil && (loaded != nil || now != want):
			t.Errorf("saved %+v, read %+v, %v", want, now, loaded)
		case saved != nil:
			left, err := os.ReadFile(path)
			if old, bakErr := os.ReadFile(path + ".bak"); bakErr == nil {
				left = old // of another schema
			}
			if err != nil || string(left) != content {
				t.Errorf("not saved (%v), but changed: %q, %v", saved, left, err)
			}
		}
	})
}

func FuzzConfig(f *testing.F) {
	f.Add("schema = 1\nlisten = \"127.0.0.1:17860\"\n\n[notify] # mine\nsign_in_required = false\n")
	f.Add("notify.offline = true\nallow_users = [\"a\"]\nlog_level = 'debug'\n")
	f.Fuzz(func(t *testing.T, content string) {
		path := filepath.Join(t.TempDir(), "config.toml")
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		before, err := LoadConfig(path)
		if err != nil {
			return
		}
		level := "warn"
		changed, err := ChangeConfig(path, Change{LogLevel: &level, Offline: new(!before.Notify.Offline)})
		if err != nil {
			return
		}
		now, err := LoadConfig(path)
		if err != nil || now.LogLevel != level || now.Notify.Offline == before.Notify.Offline || now.Listen != before.Listen || now.Notify.SignInRequired != before.Notify.SignInRequired || changed.LogLevel != level {
			t.Errorf("%+v became %+v, %v", before, now, err)
		}
	})
}
