// The settings.

import { ask } from "./agent.js";
import { cards } from "./cards.js";
import { attempt, during, element, find, toast, write } from "./dom.js";

export const settings = {
  async show(about) {
    const dialog = find("settings");
    const kept = { keychain: "the system's keychain", file: "an encrypted file", memory: "memory, until it ends" }[about?.store] ?? "";
    write(find("about"), about ? `Langkeep ${about.version}. Secrets are kept in ${kept}.` : "");
    await attempt(find("settings-error"), async () => this.fill(await ask("GET", "/v1/settings")));
    if (!dialog.open) dialog.showModal();
  },

  fill(values) {
    this.values = values;
    const names = [...cards.keys()].sort();
    if (values.default_profile && !names.includes(values.default_profile)) names.push(values.default_profile);
    find("default-profile").replaceChildren(
      element("option", { value: "" }, "none"), ...names.map((name) => element("option", { value: name }, name)));
    find("default-profile").value = values.default_profile;
    find("log-level").value = values.log_level;
    find("start-at-login").hidden = values.start_at_login === null;
    find("start-at-login").querySelector("input").checked = values.start_at_login === true;
    for (const [key, on] of Object.entries(values.notify)) find("settings").querySelector(`[name="${key}"]`).checked = on;
  },

  change({ name, type, checked, value }) {
    const isNotice = type === "checkbox" && name !== "start_at_login";
    const of = (is) => (isNotice ? { notify: { [name]: is } } : { [name]: is });
    const before = this.values && of(isNotice ? this.values.notify[name] : this.values[name]);
    return this.apply(of(type === "checkbox" ? checked : value),
      () => toast("Saved.", before && (() => this.apply(before, () => toast("As it was before.")))));
  },

  async apply(change, then) {
    write(find("settings-error"), "");
    try {
      this.fill(await ask("PATCH", "/v1/settings", change));
      then();
    } catch (problem) {
      write(find("settings-error"), problem.message);
      ask("GET", "/v1/settings").then((values) => this.fill(values), () => {});
    }
  },

  // offer asks once, after the first sign-in, whether Langkeep is to start at login.
  async offer() {
    if (this.asked) return;
    this.asked = true;
    try {
      find("offer").hidden = !(await ask("GET", "/v1/settings")).offer_start;
    } catch {
      // Another time will do.
    }
  },

  async answerOffer(button, on) {
    await during(button, on ? "Starting at login…" : "Not now", () => attempt(find("offer-error"), async () => {
      await ask("PATCH", "/v1/settings", on ? { start_at_login: true } : { offer_start: false });
      find("offer").hidden = true;
      if (on) toast("Langkeep starts when you log in.", () => ask("PATCH", "/v1/settings", { start_at_login: false }).catch((problem) => toast(problem.message)));
      else toast("The settings have it whenever you like.");
      find("open-add").focus();
    }));
  },
};

find("offer-yes").onclick = () => settings.answerOffer(find("offer-yes"), true);
find("offer-no").onclick = () => settings.answerOffer(find("offer-no"), false);
