//go:build real && linux

package localapi_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"langkeep/agent/langflow/langflowtest"
)

// toolsHome is a home folder with two tools in it.
func toolsHome(t *testing.T) (home, cursor string) {
	t.Helper()
	home = t.TempDir()
	cursor = filepath.Join(home, ".cursor", "mcp.json")
	for _, dir := range []string{filepath.Dir(cursor), filepath.Join(home, ".qwen")} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(cursor, []byte(cursorFile), 0o600); err != nil {
		t.Fatal(err)
	}
	return home, cursor
}

const cursorFile = "{\n  \"mcpServers\": {\n    \"mine\": {\"env\": {\"API_KEY\": \"hidden\"}}\n  }\n}\n"

// tools connects a tool on the page: the change is seen first, and taken back after.
func (c *chromium) tools(t *testing.T) {
	s := langflowtest.New(langflowtest.Options{Version: "1.13"})
	t.Cleanup(s.Close)
	home, cursor := toolsHome(t)
	a, b := startAgentWith(t, "", "HOME="+home, "XDG_CONFIG_HOME=", "PATH="), c.tab(t)
	a.add("prod", s)
	file := func() string {
		t.Helper()
		content, err := os.ReadFile(cursor)
		if err != nil {
			t.Fatal(err)
		}
		return string(content)
	}
	panel := card("prod") + `.querySelector(".use")`
	text := func(title string) string {
		return fmt.Sprintf(`[...%s.querySelectorAll(".step")].find((e) => e.querySelector("h3").textContent === %q)?.querySelector("code").textContent`, panel, title)
	}
	b.open(a.link())
	b.says("prod", "Signed in as")
	b.press("Use it")
	// The texts have no secret in them, and each has a button that copies it.
	for tab, has := range map[string][2]string{
		"Shell": {"Ask the server as you", "langkeep token prod --output header"}, "Python": {"flow.py", "LANGFLOW_API_KEY"},
		"langflow-sdk": {"Once", "langkeep connect langflow-sdk prod"}, "OpenAI SDK": {"Run it", "langkeep exec prod --scope run -- python ask.py"},
	} {
		b.until(fmt.Sprintf(`[...document.querySelectorAll("[role=tab]")].find((e) => e.textContent === %q)`, tab))
		b.script(fmt.Sprintf(`[...document.querySelectorAll("[role=tab]")].find((e) => e.textContent === %q).click()`, tab))
		b.until(fmt.Sprintf("%s?.includes(%q)", text(has[0]), has[1]))
		copied := value[string](b, fmt.Sprintf(`new Promise((done) => {
			navigator.clipboard.writeText = async (text) => done(text);
			document.querySelector("[aria-label='Copy: %s']").click();
		})`, has[0]))
		if shown := value[string](b, text(has[0])); copied != shown || strings.Contains(copied, "eyJ") || strings.Contains(copied, "lk_") {
			t.Errorf("%s: copied is %q, shown %q", tab, copied, shown)
		}
		b.reads("Copied.")
	}
	b.script(`[...document.querySelectorAll("[role=tab]")].at(-2).click()`)
	b.until(panel + `.innerText.includes("Cursor") && ` + panel + `.innerText.includes("Qwen Code")`)
	if text := value[string](b, panel+".innerText"); strings.Contains(text, "Zed") {
		t.Errorf("a tool that is not installed is offered: %s", text)
	}
	snippet := text("For any other tool")
	b.until(`/"mcpServers": \{\s+"langflow-prod"/.test(` + snippet + `)`)
	b.fill("Project", "3f0c")
	b.script(`document.activeElement.blur()`)
	b.until(snippet + `?.includes('"3f0c"')`)

	connect := `document.querySelector("[aria-label='Connect Cursor']")`
	b.script(connect + ".click()")
	b.until(panel + `.innerText.includes("+    \"langflow-prod\": {")`)
	if text := value[string](b, panel+".innerText"); strings.Contains(text, "hidden") || !strings.Contains(text, "In "+cursor) {
		t.Errorf("the change is shown as %s", text)
	}
	if over := value[float64](b, panel+".scrollWidth - "+panel+".clientWidth"); over > 0 {
		t.Errorf("the change makes the panel %v pixels too wide", over)
	}
	b.press("Cancel")
	b.until("document.activeElement === " + connect)
	if file() != cursorFile {
		t.Errorf("nobody told it to write %s", file())
	}
	b.script(connect + ".click()")
	b.press("Write this")
	b.reads("Cursor is connected to prod.")
	b.reads("Cursor runs flows of project 3f0c of prod.")
	if !strings.Contains(file(), `"langflow-prod"`) || !strings.Contains(file(), `"3f0c"`) || strings.Contains(file(), "lk_") {
		t.Errorf("the file is %s", file())
	}
	b.script(connect + ".click()")
	b.reads("Cursor is connected to prod already.")

	// The state of an entry is told.
	if err := os.WriteFile(cursor, []byte(strings.Replace(file(), "3f0c", "other", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	b.script(`[...document.querySelectorAll("[role=tab]")].at(-2).click()`)
	b.reads("The entry was changed by hand.")
	b.press("Disconnect")
	b.reads("Cursor is disconnected.")
	if file() != cursorFile {
		t.Errorf("disconnected, the file is %s", file())
	}
	// Without uv there is no builder, which is said; the tools stay.
	b.script(panel + `.querySelector("input[type=checkbox]").click()`)
	b.reads("which is not on the PATH: install uv")
	b.until(connect + " !== null && " + snippet + " === undefined")
	b.press("Close")
	b.innocent(a)
}
