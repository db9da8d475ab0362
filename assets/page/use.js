// How programs use a profile: texts to copy, and tools that Langkeep connects by itself.

import { ask, pathOf } from "./agent.js";
import { apps } from "./apps.js";
import { cards } from "./cards.js";
import { actions, attempt, button, during, element, failure, field, sentence, step, tabs, toast, write } from "./dom.js";

export class Use {
  constructor(card, close) {
    this.card = card;
    this.root = element("div", { className: "use" }, element("p", { className: "said" }, "Looking for tools on this computer…"));
    this.done = button("Close", close);
    this.run = 0; // of the loads: an answer that comes late is dropped
  }

  get name() { return this.card.data.name; }

  async load() {
    this.error = failure();
    try {
      const { recipes } = await ask("GET", `/v1/tools?${new URLSearchParams({ profile: this.name })}`);
      const all = tabs(`Ways to use ${this.name}`, [
        ...recipes.map((recipe) => [recipe.title, (panel) => this.recipe(panel, recipe)]),
        ["Claude Code, Cursor …", (panel) => this.tools(panel)],
        ["URL and token", (panel) => this.address(panel)],
      ]);
      this.root.replaceChildren(all.root, this.error, actions(this.done));
      all.focus();
    } catch (problem) {
      write(this.error, problem.message);
      this.root.replaceChildren(this.error, actions(this.done));
      this.done.focus();
    }
  }

  recipe(panel, { steps, note }) {
    panel.append(...steps.map(({ title, text }) => step(title, text)), element("p", { className: "hint" }, note));
  }

  // address is for any other program.
  address(panel) {
    const { name } = this;
    const url = element("div", {});
    const show = (proxy) => {
      if (proxy) {
        url.replaceChildren(step("URL", proxy));
        return;
      }
      const open = button("Open the proxy", () => during(open, "Opening…", () => attempt(this.error, async () => {
        const { proxy_url: opened } = await ask("PATCH", pathOf(name), { proxy: true });
        show(opened);
      })));
      url.replaceChildren(element("div", { className: "step" }, element("div", { className: "step-head" }, element("h3", {}, "URL"), open)));
    };
    show(this.card.data.proxy_url);
    const add = button("Add an app", () => apps.show(name));
    panel.append(url, element("div", { className: "step step-head" }, element("h3", {}, "Token, which is shown once"), add),
      step("Or in a terminal", `langkeep client add my-app --profile ${name} --scope run --expires 30d`),
      element("p", { className: "hint" }, "The token goes where the program wants an API key (x-api-key, or a Bearer). It may run flows with inputs; other scopes allow more. Apps, above, lists it and takes it back."));
  }

  // tools are those that speak MCP. Their own files get an entry without a secret.
  tools(panel) {
    const project = field("Project", { type: "text", maxLength: 64 }, "Its ID, whose flows are the tools. Empty for all flows of the account.");
    this.project = project.input;
    this.builder = element("input", { type: "checkbox" });
    this.list = element("ul", { className: "list" });
    this.none = element("p", { className: "hint", hidden: true }, "No tool that Langkeep knows is installed here. Copy the text below into the one that you use.");
    this.snippet = element("div", {});
    for (const input of [this.project, this.builder]) input.onchange = () => this.loadTools();
    panel.append(element("p", { className: "hint" }, "Programs on this computer that can use flows over MCP. Langkeep adds itself to their own files, without a secret."),
      this.list, this.none, ...project.parts,
      element("label", { className: "check" }, this.builder, "build flows, rather than run them (needs uv, and may use the whole account)"), this.snippet);
    this.loadTools();
  }

  // link is where an entry is to lead.
  link() {
    const project = this.project.value.trim();
    return { profile: this.name, ...(this.builder.checked ? { builder: true } : project && { project }) };
  }

  async loadTools() {
    const run = ++this.run;
    const { list } = this;
    write(this.error, "");
    const link = this.link();
    this.project.disabled = this.builder.checked;
    try {
      let all;
      try {
        all = await ask("GET", `/v1/tools?${new URLSearchParams(link)}`);
      } catch (problem) { // the tools can be shown all the same
        all = await ask("GET", "/v1/tools");
        if (run === this.run) write(this.error, problem.message);
      }
      if (run !== this.run || !list.isConnected) return;
      this.snippet.replaceChildren(...(all.snippet ? [step("For any other tool", all.snippet)] : []));
      const shown = all.tools.filter((tool) => tool.mcp && (tool.installed || tool.connections.length > 0));
      this.none.hidden = shown.length > 0;
      list.replaceChildren(...shown.flatMap((tool) => [
        this.offer(tool, link), ...tool.connections.filter(({ profile }) => profile === this.name || !cards.has(profile))
          .map((connection) => this.connected(tool, connection)),
      ]));
    } catch (problem) {
      if (run === this.run) write(this.error, problem.message);
    }
  }

  // offer is a tool's line, with a button that shows the change before it is made.
  offer(tool, link) {
    const connect = button("Connect", () => during(connect, "Looking…", () => attempt(this.error, async () => {
      line.querySelector(".change")?.remove();
      const change = await this.post(tool, { ...link, preview: true });
      if (change.changes) line.append(this.change(tool, link, change, connect));
      else toast(`${tool.title} is connected to ${link.profile} already.`);
      line.querySelector(".change .button")?.focus();
    })), { label: `Connect ${tool.title}` });
    connect.hidden = !link.profile || !tool.installed;
    const line = element("li", {}, element("p", {}, element("b", {}, tool.title)), connect);
    return line;
  }

  post(tool, body) { return ask("POST", `/v1/tools/${encodeURIComponent(tool.name)}`, body); }

  // change shows what connecting changes in a file, and does it when told to.
  change(tool, link, { file, diff }, opener) {
    const apply = button("Write this", () => during(apply, "Writing…", () => attempt(this.error, async () => {
      await this.post(tool, link);
      await this.loadTools();
      toast(`${tool.title} is connected to ${link.profile}. It may have to be started anew.`, () => this.disconnect(tool, link));
      this.done.focus();
    })), { style: "primary" });
    const cancel = button("Cancel", () => {
      box.remove();
      opener.focus();
    });
    const lines = diff.slice(diff.findIndex((text) => text.startsWith("@@")));
    const text = element("pre", { tabIndex: 0 }, ...lines.map((text) => element(text.startsWith("+") ? "b" : "span", {}, `${text}\n`)));
    text.setAttribute("aria-label", `Change of ${file}`);
    text.setAttribute("role", "region");
    const box = element("div", { className: "change" }, element("p", {}, `In ${file}:`), text, actions(apply, cancel));
    return box;
  }

  // connected is the line of an entry that is there.
  connected(tool, connection) {
    const leads = connection.builder ? "builds flows of" : connection.project ? `runs flows of project ${connection.project} of` : "runs flows of";
    const state = connection.reason ? sentence(connection.reason) : connection.entry === "changed" ? "The entry was changed by hand." : "";
    const end = button("Disconnect", () => during(end, "Disconnecting…", () => this.disconnect(tool, connection)),
      { label: `Disconnect ${tool.title} from ${connection.profile}` });
    return element("li", {}, element("p", {}, `${tool.title} ${leads} `, element("b", {}, connection.profile), ". ",
      element("span", { className: "marked" }, state)), end);
  }

  disconnect(tool, { profile, project, builder = false }) {
    return attempt(this.error, async () => {
      const { backups } = await ask("DELETE", `/v1/tools/${encodeURIComponent(tool.name)}?${new URLSearchParams({ profile, builder })}`);
      const kept = backups.length > 0 ? ` Its file was gone; the former content is in ${backups.join(", ")}.` : "";
      toast(`${tool.title} is disconnected.${kept}`, async () => {
        await this.post(tool, { profile, ...(builder ? { builder } : project && { project }) }).catch((problem) => toast(problem.message));
        if (this.list.isConnected) this.loadTools();
      });
      if (!this.list.isConnected) return;
      await this.loadTools();
      this.done.focus();
    });
  }
}
