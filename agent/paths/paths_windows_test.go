package paths

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/windows"
)

// TestAccess reads back the access lists of what was made. Wine (8) keeps the
// user's entry and makes up others, which is shown here and not judged: that
// nobody else has access takes a real Windows.
func TestAccess(t *testing.T) {
	user, err := windows.GetCurrentProcessToken().GetTokenUser()
	if err != nil {
		t.Fatal(err)
	}
	sid := user.User.Sid.String()
	p := under(filepath.Join(t.TempDir(), "home"))
	if err := p.Create(); err != nil {
		t.Fatal(err)
	}
	if err := WriteFile(p.Token(), []byte("lk_x")); err != nil {
		t.Fatal(err)
	}
	wine := windows.NewLazySystemDLL("ntdll.dll").NewProc("wine_get_version").Find() == nil
	for _, path := range []string{p.Home, p.Config, p.ProfilesDir(), p.State, p.Run, p.Token()} {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		sd, err := windows.GetNamedSecurityInfo(path, windows.SE_FILE_OBJECT, windows.DACL_SECURITY_INFORMATION)
		if err != nil {
			t.Fatal(err)
		}
		got, want := sd.String(), sddl(sid, info.IsDir())
		if wine {
			t.Logf("%s: %s, for %s", filepath.Base(path), got, want)
			if !strings.Contains(got, ";;;"+sid+")") {
				t.Errorf("%s has %s", path, got)
			}
			continue
		}
		// AI: it was asked what is inherited, which is nothing.
		if got = strings.Replace(got, "D:PAI(", "D:P(", 1); got != want {
			t.Errorf("%s has %s, want %s", path, got, want)
		}
	}
	if wine {
		t.Skip("Wine adds Everyone to each access list: only a real Windows shows that nobody else has access")
	}
}
