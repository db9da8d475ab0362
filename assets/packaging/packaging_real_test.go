//go:build real && linux

// Package packaging has the files that packages are made of, and what tests
// them: everything is built, and used as people would in a clean Debian.
package packaging

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
	"golang.org/x/sys/unix"

	"langkeep/agent/langflow/langflowtest"
)

const (
	version  = "0.9.1"
	older    = "0.9.1~pre5" // as Debian has it
	describe = "v0.9.0-5-g0123456"
)

func TestRealDist(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can go into another Debian")
	}
	begin := time.Now()
	first := build(t, version, "")
	t.Logf("make dist: %.0f s", time.Since(begin).Seconds())
	old := build(t, describe, "linux/"+runtime.GOARCH)

	t.Run("the same bytes", func(t *testing.T) {
		// From another folder, at another time.
		second := build(t, version, "")
		a, b := read(t, first+"/SHA256SUMS"), read(t, second+"/SHA256SUMS")
		if a != b {
			t.Errorf("not the same: %s\n%s", a, b)
		}
		if n := strings.Count(a, "\n"); n != 2+2+2*2+8+6+6+1 {
			t.Errorf("%d files: %s", n, a)
		}
	})
	t.Run("files", func(t *testing.T) { checkFiles(t, first) })
	t.Run("managers", func(t *testing.T) { checkManagers(t, first) })
	deb := "/langkeep_" + version + "_" + runtime.GOARCH + ".deb"
	t.Run("debian", func(t *testing.T) {
		useInDebian(t, old+"/langkeep_"+older+"_"+runtime.GOARCH+".deb", first+deb)
	})
	t.Run("README from the deb", func(t *testing.T) { useReadme(t, first, "deb") })
	t.Run("README from the wheel", func(t *testing.T) { useReadme(t, first, "uv") })
	t.Run("systemd", func(t *testing.T) { useUnits(t, first+deb) })
	t.Run("pod", func(t *testing.T) { usePod(t, first+deb) })
}

// build makes dist in a copy of this tree, and returns its folder.
func build(t *testing.T, version, targets string) string {
	t.Helper()
	repo, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	tree := t.TempDir()
	output(t, exec.Command("sh", "-euc", `cd "$1"; git ls-files -z --cached --others --exclude-standard | xargs -0 cp --parents -t "$2"; cd "$2"; git init -q; git add -A; ln -s "$1/.cache" .cache`, "sh", repo, tree))
	cmd := exec.Command(filepath.Join(tree, ".ci/dist"))
	cmd.Env = append(os.Environ(), "VERSION="+version, "SOURCE_DATE_EPOCH=1700000000", "LANGKEEP_DIST_TARGETS="+targets)
	output(t, cmd)
	return filepath.Join(tree, "dist")
}

// checkFiles looks at what was made with the tools of each kind.
func checkFiles(t *testing.T, dist string) {
	const script = `
has() { grep "$@" >/dev/null; }
cd "$1"
sha256sum --check --quiet SHA256SUMS
for rpm in *.rpm; do
	rpm --dbpath "$2/rpm" -K "$rpm" | has 'digests OK'
	rpm --dbpath "$2/rpm" -qpl "$rpm" | has -x /usr/bin/langkeep
	test "$(rpm --dbpath "$2/rpm" -qp --qf '%{BUILDTIME} %{BUILDHOST}' "$rpm")" = '1700000000 langkeep'
done
for apk in *.apk; do python3 -c "$5" "$apk"; done
for pkg in *.pkg.tar.zst; do tar --zstd -tf "$pkg" | has -x usr/bin/langkeep; done
for tar in *_linux_*.tar.gz *_darwin_*.tar.gz; do tar -tzf "$tar" | has '/langkeep$'; done
for whl in *.whl; do python3 -m zipfile -l "$whl" | has -E '\.data/scripts/langkeep(\.exe)? '; done
python3 -c "$6" *_linux_*.tar.gz *_darwin_*.tar.gz *_windows_*.zip *_source.tar.gz *.whl
for sbom in *_sbom.json; do
	module=github.com/zalando/go-keyring
	case $sbom in *windows*) module=fyne.io/systray ;; esac
	python3 -c 'import json, sys; b = json.load(sys.stdin); assert b["bomFormat"] == "CycloneDX" and any(c["name"] == sys.argv[1] for c in b["components"])' $module <"$sbom"
done
for zip in *windows*.zip; do zip -sf "$zip" | has '/langkeep.exe$'; done
test -z "$(ls | grep darwin | grep -v notray)"

dpkg-deb -x "langkeep_$3_$4.deb" "$2/root"
cd "$2/root/usr"
desktop-file-validate share/applications/langkeep.desktop
export PATH="$PWD/bin:$PATH" HOME="$2"
langkeep version | has "^langkeep $3 "
for page in share/man/man1/*.gz; do
	gzip -dc "$page" >"$2/page.1"
	mandoc -Tlint -W warning "$2/page.1"
	said=$(LC_ALL=C.UTF-8 MANWIDTH=80 man --warnings -E UTF-8 -l -Tutf8 -Z "$2/page.1" 2>&1 >/dev/null)
	test -z "$said" || { echo "$page: $said"; exit 1; }
done
# One for the program, and client has three more.
test "$(ls share/man/man1 | wc -l)" = "$(langkeep --help | sed -n '/^COMMANDS/,$p' | grep -cE '^  [a-z]+ +[A-Z]' | awk '{ print $1 + 4 }')"
bash -c '. share/bash-completion/completions/langkeep; complete -p langkeep' | has __start_langkeep
zsh -f -c 'autoload -U compinit; compinit -u -D; . share/zsh/vendor-completions/_langkeep; print $_comps[langkeep]' | has _langkeep
fish --no-config -c '. share/fish/vendor_completions.d/langkeep.fish; complete -C "langkeep tok"' | has ^token
`
	output(t, exec.Command("bash", "-euxo", "pipefail", "-c", script, "sh", dist, t.TempDir(), version, runtime.GOARCH, read(t, "testdata/apk.py"), read(t, "testdata/links.py")))
}

// checkManagers installs what has a package manager here, and has the others' recipes
// read by what reads their language; brew, scoop and winget are not to be had.
func checkManagers(t *testing.T, dist string) {
	const script = `
cd "$1/managers"
if grep -rnE '@[A-Z]' .; then exit 1; fi
ruby -c langkeep.rb
nix-instantiate --parse langkeep.nix >/dev/null
for name in langkeep.json winget/*.installer.yaml; do test "$(grep -Ec '(hash|Sha256)"?: "?[0-9a-f]{64}"?,?$' "$name")" = 2; done
python3 -m json.tool langkeep.json >/dev/null

cp PKGBUILD ../*_linux_*.tar.gz "$2"
chmod 755 "$2" "$2/.."
chown -R nobody "$2"
cd "$2"
setpriv --reuid nobody --clear-groups env HOME="$2" makepkg --nodeps --noconfirm
for package in "$2"/langkeep-bin-*.pkg.tar.* "$1"/langkeep-*-$4.pkg.tar.zst; do
	root=$(mktemp -d)
	mkdir -p "$root/var/lib/pacman"
	pacman() { command pacman --root "$root" --dbpath "$root/var/lib/pacman" --cachedir "$root/cache" --hookdir "$root/hooks" "$@"; }
	pacman -U --noconfirm -dd "$package"
	"$root/usr/bin/langkeep" version --verbose >"$2/said"
	grep "^langkeep $3 " "$2/said"
	grep '^installed  arch$' "$2/said"
	pacman -Qkk
	pacman -Rdd --noconfirm $(pacman -Qq)
	test -z "$(find "$root" -path "$root/var" -prune -o -path "$root/cache" -prune -o -name '*langkeep*' -print)"
	rm -rf "$root"
done
root=$(mktemp -d)
rpm --root "$root" --initdb
rpm --root "$root" -i --nodeps "$1"/langkeep-*.$4.rpm
"$root/usr/bin/langkeep" version --verbose >"$2/said"
grep "^langkeep $3 " "$2/said"
grep '^installed  rpm$' "$2/said"
rpm --root "$root" -V langkeep
rpm --root "$root" -e langkeep
test -z "$(find "$root" -name '*langkeep*')"
rm -rf "$root"
`
	output(t, exec.Command("bash", "-euxo", "pipefail", "-c", script, "sh", dist, t.TempDir(), version, cpu()))
	for _, name := range []string{"", ".installer", ".locale.en-US"} {
		var tree map[string]any
		if err := yaml.Unmarshal([]byte(read(t, dist+"/managers/winget/Langkeep.Langkeep"+name+".yaml")), &tree); err != nil || tree["PackageVersion"] != version {
			t.Errorf("winget%s: %v, %v", name, tree, err)
		}
	}
}

// cpu is this computer's, as Linux names it.
func cpu() string { return map[string]string{"amd64": "x86_64", "arm64": "aarch64"}[runtime.GOARCH] }

// useInDebian is a package's life in a clean Debian, without systemd.
func useInDebian(t *testing.T, old, deb string) {
	d := newDebian(t)
	d.root("useradd --create-home ann")
	d.put("/tmp/old.deb", read(t, old))
	d.put("/tmp/new.deb", read(t, deb))
	server := langflowtest.New(langflowtest.Options{})
	defer server.Close()
	ann := d.user(1000, 1000, "HOME=/home/ann", "LANGKEEP_PASSPHRASE_FILE=/home/ann/passphrase", "SERVER="+server.URL)
	d.putFor(1000, "/home/ann/passphrase", "correct horse\n")
	d.putFor(1000, "/home/ann/password", langflowtest.Admin().Password)

	before := d.files()
	d.root("apt-get install -q -y --no-install-recommends /tmp/old.deb")
	flags := " --headless --store file --listen 127.0.0.1:0"
	defer func() { _, _ = d.run(ann, "langkeep stop") }()
	d.as(ann, "langkeep start"+flags)
	d.as(ann, `langkeep login prod "$SERVER" --username admin --password-stdin <password`)
	d.as(ann, "langkeep status --ready")
	if got := strings.Count(d.as(ann, "langkeep token prod"), "."); got != 2 {
		t.Errorf("a token with %d dots", got)
	}

	// The agent goes on through the upgrade, and the next one has its session.
	d.root("apt-get install -q -y --no-install-recommends /tmp/new.deb")
	if got := d.as(ann, "langkeep version"); !strings.HasPrefix(got, "langkeep "+version+" ") {
		t.Errorf("after the upgrade: %s", got)
	}
	runs := func() (v string) {
		var status struct{ Version string }
		if err := json.Unmarshal([]byte(d.as(ann, "langkeep status --json")), &status); err != nil {
			t.Error(err)
		}
		return status.Version
	}
	if got := runs(); got != "0.9.1-pre5+0123456" {
		t.Errorf("the upgrade put another agent in the place of the old one: %s", got)
	}
	d.as(ann, "langkeep token prod")
	if got := d.as(ann, "langkeep doctor"); !strings.Contains(got, "warning  agent            langkeep 0.9.1-pre5+0123456 runs ") || !strings.Contains(got, " This command is "+version+": run langkeep restart.\n") {
		t.Errorf("doctor doesn't tell that an older agent runs: %s", got)
	}
	d.as(ann, "langkeep restart"+flags)
	if got := d.as(ann, "langkeep doctor"); !strings.Contains(got, "ok       agent ") {
		t.Errorf("after a restart doctor says %s", got)
	}
	if got := runs(); got != version {
		t.Errorf("after a restart %s runs", got)
	}
	d.as(ann, "langkeep token prod")
	if server.Count("/login") != 1 {
		t.Errorf("%d sign-ins", server.Count("/login"))
	}
	d.as(ann, "langkeep stop")

	d.root("dpkg --remove langkeep")
	d.root("dpkg --purge langkeep")
	if out, err := d.run(d.user(0, 0), "dpkg -s langkeep"); err == nil {
		t.Errorf("dpkg still knows it: %s", out)
	}
	if after := d.files(); !slices.Equal(before, after) {
		t.Errorf("other files than before: %s", difference(before, after))
	}
	d.as(ann, "test -f .local/state/langkeep/secrets.age") // theirs
}

// useUnits runs the units under a systemd of their own, with the commands of
// docs/headless.md.
func useUnits(t *testing.T, deb string) {
	d := newDebian(t)
	d.root("useradd --create-home ann")
	d.put("/tmp/langkeep.deb", read(t, deb))
	d.root("apt-get install -q -y --no-install-recommends /tmp/langkeep.deb")
	for unit, most := range map[string]string{"system": "15", "user": "70"} {
		user := map[string]string{"system": "", "user": "--user "}[unit]
		file := "/usr/lib/systemd/" + unit + "/langkeep.service"
		out := d.root("XDG_RUNTIME_DIR=/tmp systemd-analyze " + user + "verify --man=no " + file + " 2>&1")
		if strings.Contains(out, "langkeep") {
			t.Errorf("%s: %s", file, out)
		}
		out = d.root("systemd-analyze security --offline=true --no-pager --threshold=" + most + " " + file + " 2>&1")
		t.Logf("%s unit: %s", unit, regexp.MustCompile(`exposure level .*: [0-9.]+ [A-Z]+`).FindString(out))
	}

	system := d.boot()
	server := system.langflow()
	defer server.Close()
	system.put("/root/password", langflowtest.Admin().Password)
	doc := read(t, "../../docs/headless.md")
	blocks := regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(doc, -1)
	if len(blocks) != 5 {
		t.Fatalf("docs/headless.md has %d blocks of commands", len(blocks))
	}
	block := func(i int) string {
		s := strings.ReplaceAll(blocks[i][1], "https://flows.example.org", server.URL)
		return strings.ReplaceAll(s, "--username ci", "--username admin")
	}
	system.do(block(0))
	system.do("for i in $(seq 100); do test -S /var/lib/langkeep/.local/state/langkeep/run/agent.sock && break; sleep 0.1; done")
	system.do(block(1))

	// Nobody else is heard, before they are let in.
	system.do("sudo -u langkeep -H langkeep client add early --no-start --profile prod --scope token >early")
	ask := `sudo -u ann curl -s -o /dev/null -w '%{http_code}' -H "Authorization: Bearer $(cat early)" http://127.0.0.1:17860/v1/profiles/prod/token`
	if got := system.do(ask); got != "403" {
		t.Errorf("another user is answered %s", got)
	}
	system.do(block(2))
	system.do("for i in $(seq 100); do test \"$(" + ask + ")\" = 200 && break; sleep 0.1; done")
	if got := system.do(block(3)); !strings.Contains(got, `"access_token"`) {
		t.Errorf("got %s", got)
	}
	system.do("systemctl restart langkeep")
	system.do("for i in $(seq 100); do sudo -u langkeep -H langkeep status prod --ready --no-start && exit; sleep 0.1; done; exit 1")
	if server.Count("/login") != 1 {
		t.Errorf("%d sign-ins", server.Count("/login"))
	}
	if got := system.do("journalctl -u langkeep --no-pager -o cat"); !strings.Contains(got, "listening on http://127.0.0.1:17860") {
		t.Errorf("the journal has %s", got)
	}

	// A user's own, by the package's unit.
	system.do("mkdir -p ~ann/.config/langkeep; echo \"listen = '127.0.0.1:0'\nstore = 'memory'\" >~ann/.config/langkeep/config.toml; chown -R ann: ~ann/.config")
	system.do("loginctl enable-linger ann; for i in $(seq 100); do test -S /run/user/1000/bus && break; sleep 0.1; done")
	ann := "sudo -u ann -H env XDG_RUNTIME_DIR=/run/user/1000 "
	if got := system.do(ann + "langkeep autostart status"); got != "disabled\n" {
		t.Errorf("autostart is %s", got)
	}
	system.do(ann + "systemctl --user enable --now langkeep")
	if got := system.do(ann + "langkeep autostart status"); !strings.HasPrefix(got, "enabled  /home/ann/.config/systemd/user/default.target.wants/") {
		t.Errorf("autostart is %s", got)
	}
	system.do("for i in $(seq 100); do test -S /run/user/1000/langkeep/agent.sock && break; sleep 0.1; done")
	system.do(ann + "langkeep login mine " + server.URL + " --no-start --username admin --password-stdin <password")
	system.do(ann + "langkeep token mine --no-start")
	system.do(ann + "langkeep autostart disable")
	if got := system.do(ann + "systemctl --user is-enabled langkeep || true"); got != "disabled\n" {
		t.Errorf("systemctl says %s", got)
	}
	system.do(ann + "langkeep autostart enable")
	system.do(ann + "systemctl --user daemon-reload")
	if got := system.do(ann + "systemctl --user show -p FragmentPath --value langkeep"); got != "/home/ann/.config/systemd/user/langkeep.service\n" {
		t.Errorf("systemd reads %s", got)
	}
	if got := system.do(ann + "systemctl --user is-enabled langkeep"); got != "enabled\n" {
		t.Errorf("systemctl says %s", got)
	}
	system.do(block(4))
}

// usePod runs what a pod's manifest and its image's Dockerfile say, as two
// users in one network namespace.
func usePod(t *testing.T, deb string) {
	d := newDebian(t)
	d.put("/tmp/langkeep.deb", read(t, deb))
	env := map[string]string{"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
	for line := range strings.Lines(read(t, "container/Dockerfile")) {
		word, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch name, value, _ := strings.Cut(rest, "="); word {
		case "ENV":
			env[name] = value
		case "RUN":
			// The lists of packages need a network; all that is wanted is there.
			d.root(strings.Replace(rest, "apt-get update && ", "", 1))
		}
	}
	var pod struct {
		Spec struct {
			SecurityContext struct {
				FSGroup uint32 `yaml:"fsGroup"`
			} `yaml:"securityContext"`
			InitContainers []container `yaml:"initContainers"`
			Containers     []container
		}
	}
	if err := yaml.Unmarshal([]byte(read(t, "container/pod.yaml")), &pod); err != nil {
		t.Fatal(err)
	}
	sidecar, program := pod.Spec.InitContainers[0], pod.Spec.Containers[0]
	group := pod.Spec.SecurityContext.FSGroup

	// The kubelet makes an image that nobody writes to, volumes for the pod's group,
	// and one loopback for both.
	for _, dir := range []string{"/var/lib/langkeep", "/run/langkeep"} {
		d.root(fmt.Sprintf("mkdir -p %s; chgrp %d %s; chmod 2777 %s", dir, group, dir, dir))
	}
	secrets := "/run/secrets/langkeep"
	d.root("mkdir -p " + secrets)
	d.put(secrets+"/password", langflowtest.Admin().Password)
	d.put(secrets+"/passphrase", "correct horse\n")
	d.root(fmt.Sprintf("chgrp %d %s/*; chmod 440 %s/*", group, secrets, secrets))

	// From here on this goroutine's thread, and what it starts, is in the pod.
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Fatal(err)
	}
	loopbackUp(t)
	server := langflowtest.New(langflowtest.Options{})
	defer server.Close()
	for _, e := range sidecar.Env {
		env[e.Name] = e.Value
	}
	env["SERVER"], env["ACCOUNT"] = server.URL, langflowtest.Admin().Name
	var environ []string
	for name, value := range env {
		environ = append(environ, name+"="+value)
	}
	keeper := d.user(sidecar.SecurityContext.User, sidecar.SecurityContext.Group, environ...)
	keeper.groups = []uint32{group}
	app := d.user(program.SecurityContext.User, program.SecurityContext.Group)
	app.groups = []uint32{group}
	const own = "cd /run/langkeep; LANGKEEP_URL=http://127.0.0.1:17860 LANGKEEP_TOKEN=$(cat token) HOME=/tmp "

	for try := range 2 { // the second time as when the container starts again
		agent := d.command(keeper, sidecar.Command...)
		agent.SysProcAttr.Cloneflags = unix.CLONE_NEWPID
		var said bytes.Buffer
		agent.Stderr = &said
		if err := agent.Start(); err != nil {
			t.Fatal(err)
		}
		stop := func() {
			_ = agent.Process.Signal(syscall.SIGTERM)
			if err := agent.Wait(); err != nil {
				t.Errorf("the agent: %v: %s", err, said.String())
			}
		}
		if out, err := d.command(keeper, sidecar.Lifecycle.PostStart.Exec.Command...).CombinedOutput(); err != nil {
			t.Errorf("postStart: %v: %s", err, out)
		}
		for _, probe := range []probe{sidecar.StartupProbe, sidecar.ReadinessProbe} {
			if out, err := d.command(keeper, probe.Exec.Command...).CombinedOutput(); err != nil {
				t.Errorf("the probe: %v: %s", err, out)
			}
		}
		if got := strings.Count(d.as(app, own+"langkeep token prod"), "."); got != 2 {
			t.Errorf("a token with %d dots", got)
		}
		curl := regexp.MustCompile("(?s)```\n(printf .*?)```").FindStringSubmatch(read(t, "../../docs/headless.md"))[1]
		if got := strings.Count(d.as(app, curl), "."); got != 2 {
			t.Errorf("a token with %d dots", got)
		}
		if got := d.as(app, `cd /run/langkeep; curl -s -o /dev/null -w '%{http_code}' -H "x-api-key: $(cat token)" "$(cat proxy)/api/v1/version"`); got != "200" {
			t.Errorf("the proxy answers %s", got)
		}
		// Neither another program's user nor one without a token is heard.
		if out, err := d.run(app, "curl -s -f http://127.0.0.1:17860/v1/status"); err == nil {
			t.Errorf("without a token: %s", out)
		}
		stranger := d.user(1001, 1001)
		stranger.groups = []uint32{group}
		if out, err := d.run(stranger, own+"langkeep token prod"); err == nil || !strings.Contains(out, "ask as the user who runs it") {
			t.Errorf("a stranger: %v: %s", err, out)
		}
		if server.Count("/login") != 1 {
			t.Errorf("try %d: %d sign-ins", try, server.Count("/login"))
		}
		stop()
	}
}

// container is what of a pod's containers is run here.
type container struct {
	Command   []string
	Env       []struct{ Name, Value string }
	Lifecycle struct {
		PostStart probe `yaml:"postStart"`
	}
	StartupProbe    probe `yaml:"startupProbe"`
	ReadinessProbe  probe `yaml:"readinessProbe"`
	SecurityContext struct {
		User  uint32 `yaml:"runAsUser"`
		Group uint32 `yaml:"runAsGroup"`
	} `yaml:"securityContext"`
}

type probe struct{ Exec struct{ Command []string } }

// debian is a layer of its own over the clean Debian of .ci/setup.
type debian struct {
	t   *testing.T
	dir string
}

func newDebian(t *testing.T) *debian {
	t.Helper()
	clean, err := filepath.Abs("../../.cache/debian")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(clean + ".made"); err != nil {
		t.Skip("there is no clean Debian: .ci/setup dist makes one")
	}
	tmp := t.TempDir()
	d := &debian{t, filepath.Join(tmp, "root")}
	for _, dir := range []string{"root", "upper", "work"} {
		if err := os.Mkdir(filepath.Join(tmp, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	layers := fmt.Sprintf("lowerdir=%s,upperdir=%s/upper,workdir=%s/work", clean, tmp, tmp)
	d.mount("overlay", "/", layers)
	d.mount("proc", "/proc", "")
	return d
}

func (d *debian) mount(kind, at, options string) {
	d.t.Helper()
	if err := syscall.Mount(kind, d.dir+at, kind, 0, options); err != nil {
		d.t.Fatalf("mount %s: %v", kind, err)
	}
	d.t.Cleanup(func() { _ = syscall.Unmount(d.dir+at, syscall.MNT_DETACH) })
}

// put writes a file that root owns.
func (d *debian) put(path, content string) { d.putFor(0, path, content) }

func (d *debian) putFor(uid int, path, content string) {
	d.t.Helper()
	if err := os.WriteFile(d.dir+path, []byte(content), 0o600); err != nil {
		d.t.Fatal(err)
	}
	if err := os.Chown(d.dir+path, uid, uid); err != nil {
		d.t.Fatal(err)
	}
}

// user is who runs a command, and with which environment.
type user struct {
	uid, gid uint32
	groups   []uint32
	env      []string
}

func (d *debian) user(uid, gid uint32, env ...string) user {
	return user{uid: uid, gid: gid, env: append([]string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}, env...)}
}

// command runs in this Debian; its first word is looked for in /usr/bin.
func (d *debian) command(u user, args ...string) *exec.Cmd {
	cmd := &exec.Cmd{Path: "/usr/bin/" + args[0], Args: args, Env: u.env, Dir: "/"}
	for _, kv := range u.env {
		if home, ok := strings.CutPrefix(kv, "HOME="); ok {
			cmd.Dir = home
		}
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Chroot: d.dir, Credential: &syscall.Credential{Uid: u.uid, Gid: u.gid, Groups: u.groups},
	}
	return cmd
}

func (d *debian) run(u user, script string) (string, error) {
	out, err := d.command(u, "sh", "-euc", script).CombinedOutput()
	return string(out), err
}

// as runs a script that must do, and returns what is on its stdout.
func (d *debian) as(u user, script string) string {
	d.t.Helper()
	return output(d.t, d.command(u, "sh", "-euc", script))
}

func (d *debian) root(script string) string {
	d.t.Helper()
	return d.as(d.user(0, 0, "DEBIAN_FRONTEND=noninteractive"), script)
}

// files are all files but those of people, and what dpkg and apt write of their
// own work.
func (d *debian) files() []string {
	d.t.Helper()
	return strings.Split(d.root(`find / -xdev \( -path /home/ann -o -path /tmp -o -path /var/lib/dpkg -o -path /var/lib/apt \
		-o -path /var/log -o -path /var/cache/apt \) -prune -o -printf '%y %m %u %g %p\n' | sort`), "\n")
}

func difference(before, after []string) string {
	var b strings.Builder
	for _, f := range after {
		if !slices.Contains(before, f) {
			b.WriteString("\n+ " + f)
		}
	}
	for _, f := range before {
		if !slices.Contains(after, f) {
			b.WriteString("\n- " + f)
		}
	}
	return b.String()
}

// system is a Debian in which systemd runs.
type system struct {
	*debian
	pid int // of its init
}

func (d *debian) boot() *system {
	t := d.t
	t.Helper()
	cmd := exec.Command("systemd-nspawn", "--quiet", "--directory="+d.dir, "--register=no", "--keep-unit",
		"--private-network", "--console=pipe", "--boot")
	cmd.WaitDelay = 10 * time.Second
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	s := &system{debian: d}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = cmd.Wait() // what it said is shown
	}()
	t.Cleanup(func() {
		if s.pid != 0 {
			_ = syscall.Kill(s.pid, syscall.SIGKILL) // its init: the end of all that is in it
		}
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		<-ended
	})
	limit := time.Now().Add(2 * time.Minute)
	for {
		select {
		case <-ended:
			t.Skipf("systemd can't be started here: %s", said.String())
		case <-time.After(100 * time.Millisecond):
		}
		if time.Now().After(limit) {
			t.Fatal("systemd does not come up")
		}
		// Its first child only prepares the one that becomes init.
		children, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", cmd.Process.Pid))
		all := strings.Fields(string(children))
		if len(all) != 1 {
			continue
		}
		s.pid, _ = strconv.Atoi(all[0])
		out, _ := s.command("systemctl is-system-running").CombinedOutput() // fails while it starts
		if state := strings.TrimSpace(string(out)); state == "running" || state == "degraded" {
			return s
		}
	}
}

func (s *system) command(script string) *exec.Cmd {
	cmd := exec.Command("nsenter", "--target", strconv.Itoa(s.pid), "--all", "--", "sh", "-euc", "cd /root\n"+script)
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LANG=C.UTF-8"}
	return cmd
}

func (s *system) do(script string) string {
	s.t.Helper()
	return output(s.t, s.command(script))
}

// put writes a file as the system sees it: some of its folders are mounts of its own.
func (s *system) put(path, content string) {
	s.t.Helper()
	cmd := s.command("umask 077; cat >" + path)
	cmd.Stdin = strings.NewReader(content)
	output(s.t, cmd)
}

// langflow starts a stand-in on the system's own loopback.
func (s *system) langflow() *langflowtest.Server {
	s.t.Helper()
	made := make(chan *langflowtest.Server)
	go func() {
		runtime.LockOSThread() // and the thread ends with this goroutine
		defer close(made)
		ns, err := os.Open(fmt.Sprintf("/proc/%d/ns/net", s.pid))
		if err == nil {
			defer ns.Close()
			err = unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET)
		}
		if err != nil {
			s.t.Error(err)
			return
		}
		made <- langflowtest.New(langflowtest.Options{})
	}()
	server := <-made
	if server == nil {
		s.t.FailNow()
	}
	return server
}

func loopbackUp(t *testing.T) {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	lo, err := unix.NewIfreq("lo")
	if err != nil {
		t.Fatal(err)
	}
	lo.SetUint16(unix.IFF_UP)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, lo); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// output runs what must do, and returns its stdout.
func output(t *testing.T, cmd *exec.Cmd) string {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("%q: %v\n%s%s", cmd.Args, err, stdout.String(), stderr.String())
	}
	return stdout.String()
}
