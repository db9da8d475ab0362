// The tools that can be connected.

import { ask } from "./agent.js";
import { cards } from "./card.js";
import { during, element, find, sentence, write } from "./dom.js";

export const tools = {
  run: 0, // of the loads: an answer that comes late is dropped

  async show() {
    const names = [...cards.keys()].sort();
    find("tools-profile").replaceChildren(...names.map((name) => element("option", { value: name }, name)));
    find("tools-project").value = "";
    find("tools-builder").checked = false;
    write(find("tools-said"), "");
    find("tools").showModal();
    await this.load();
  },

  // link is where an entry is to lead.
  link() {
    const builder = find("tools-builder").checked;
    const project = find("tools-project").value.trim();
    return { profile: find("tools-profile").value, ...(builder ? { builder } : project && { project }) };
  },

  async load() {
    const run = ++this.run;
    write(find("tools-error"), "");
    const link = this.link();
    find("tools-project").disabled = find("tools-builder").checked;
    try {
      let all;
      try {
        all = await ask("GET", `/v1/tools${link.profile ? `?${new URLSearchParams(link)}` : ""}`);
      } catch (problem) { // the tools can be shown all the same
        all = await ask("GET", "/v1/tools");
        if (run === this.run) write(find("tools-error"), problem.message);
      }
      if (run !== this.run || !find("tools").open) return;
      find("tools-snippet").value = all.snippet ?? "";
      find("tools-copy").hidden = !all.snippet;
      const shown = all.tools.filter((tool) => tool.mcp && (tool.installed || tool.connections.length > 0));
      find("tools-none").hidden = shown.length > 0;
      find("tools-list").replaceChildren(...shown.flatMap((tool) => [
        this.offer(tool, link), ...tool.connections.map((connection) => this.connected(tool, connection)),
      ]));
    } catch (problem) {
      if (run === this.run) write(find("tools-error"), problem.message);
    }
  },

  // offer is a tool's line, with a button that shows the change before it is made.
  offer(tool, link) {
    const button = element("button", { type: "button", className: "button" }, "Connect");
    button.setAttribute("aria-label", `Connect ${tool.title}`);
    button.hidden = !link.profile || !tool.installed;
    const line = element("li", {}, element("p", {}, element("b", {}, tool.title)), button);
    button.onclick = () => during(button, "Looking…", async () => {
      write(find("tools-error"), "");
      write(find("tools-said"), "");
      line.querySelector(".change")?.remove();
      try {
        const change = await this.post(tool, { ...link, preview: true });
        if (change.changes) line.append(this.change(tool, link, change, button));
        else write(find("tools-said"), `${tool.title} is connected to ${link.profile} already.`);
        line.querySelector(".change .button")?.focus();
      } catch (problem) {
        write(find("tools-error"), problem.message);
      }
    });
    return line;
  },

  post: (tool, body) => ask("POST", `/v1/tools/${encodeURIComponent(tool.name)}`, body),

  // change shows what connecting changes in a file, and does it when told to.
  change(tool, link, { file, diff }, opener) {
    const apply = element("button", { type: "button", className: "button primary" }, "Write this");
    const cancel = element("button", { type: "button", className: "button" }, "Cancel");
    const lines = diff.slice(diff.findIndex((text) => text.startsWith("@@")));
    const text = element("pre", { tabIndex: 0 }, ...lines.map((text) => element(text.startsWith("+") ? "b" : "span", {}, `${text}\n`)));
    text.setAttribute("aria-label", `Change of ${file}`);
    text.setAttribute("role", "region");
    const box = element("div", { className: "change" }, element("p", {}, `In ${file}:`), text, element("div", { className: "actions" }, apply, cancel));
    cancel.onclick = () => {
      box.remove();
      opener.focus();
    };
    apply.onclick = () => during(apply, "Writing…", async () => {
      try {
        await this.post(tool, link);
        await this.load();
        write(find("tools-said"), `${tool.title} is connected to ${link.profile}. It may have to be started anew.`);
        find("tools-done").focus();
      } catch (problem) {
        write(find("tools-error"), problem.message);
      }
    });
    return box;
  },

  // connected is the line of an entry that is there.
  connected(tool, connection) {
    const leads = connection.builder ? "builds flows of" : connection.project ? `runs flows of project ${connection.project} of` : "runs flows of";
    const state = connection.reason ? sentence(connection.reason) : connection.entry === "changed" ? "The entry was changed by hand." : "";
    const query = new URLSearchParams({ profile: connection.profile, builder: connection.builder });
    const button = element("button", { type: "button", className: "button" }, "Disconnect");
    button.setAttribute("aria-label", `Disconnect ${tool.title} from ${connection.profile}`);
    button.onclick = () => during(button, "Disconnecting…", async () => {
      write(find("tools-error"), "");
      try {
        const { backups } = await ask("DELETE", `/v1/tools/${encodeURIComponent(tool.name)}?${query}`);
        await this.load();
        const kept = backups.length > 0 ? ` Its file was gone; the former content is in ${backups.join(", ")}.` : "";
        write(find("tools-said"), `${tool.title} is disconnected.${kept}`);
        find("tools-done").focus();
      } catch (problem) {
        write(find("tools-error"), problem.message);
      }
    });
    return element("li", {}, element("p", {}, `${tool.title} ${leads} `, element("b", {}, connection.profile), ". ",
      element("span", { className: "marked" }, state)), button);
  },

  async copy() {
    const snippet = find("tools-snippet");
    try {
      await navigator.clipboard.writeText(snippet.value);
      write(find("tools-said"), "Copied.");
    } catch { // the browser may not allow it
      snippet.focus();
      snippet.select();
      write(find("tools-said"), "Selected: copy it with the keyboard.");
    }
  },
};
