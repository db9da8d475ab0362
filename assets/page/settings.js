// The settings.

import { ask } from "./agent.js";
import { cards } from "./card.js";
import { element, find, write } from "./dom.js";

export const settings = {
  async show(about) {
    const dialog = find("settings");
    write(find("settings-error"), "");
    write(find("settings-said"), "");
    const kept = { keychain: "the system's keychain", file: "an encrypted file", memory: "memory, until it ends" }[about?.store] ?? "";
    write(find("about"), about ? `Langkeep ${about.version}. Secrets are kept in ${kept}.` : "");
    try {
      this.fill(await ask("GET", "/v1/settings"));
    } catch (problem) {
      write(find("settings-error"), problem.message);
    }
    if (!dialog.open) dialog.showModal();
  },

  fill(values) {
    const names = [...cards.keys()].sort();
    if (values.default_profile && !names.includes(values.default_profile)) names.push(values.default_profile);
    find("default-profile").replaceChildren(
      element("option", { value: "" }, "none"), ...names.map((name) => element("option", { value: name }, name)));
    find("default-profile").value = values.default_profile;
    find("log-level").value = values.log_level;
    for (const [key, on] of Object.entries(values.notify)) find("settings").querySelector(`[name="${key}"]`).checked = on;
  },

  async change(input) {
    const body = input.type === "checkbox" ? { notify: { [input.name]: input.checked } } : { [input.name]: input.value };
    write(find("settings-error"), "");
    write(find("settings-said"), "");
    try {
      this.fill(await ask("PATCH", "/v1/settings", body));
      write(find("settings-said"), "Saved.");
    } catch (problem) {
      write(find("settings-error"), problem.message);
      ask("GET", "/v1/settings").then((values) => this.fill(values), () => {});
    }
  },
};
