// The apps: programs with a token of their own, and what all programs asked for.

import { ask, send } from "./agent.js";
import { confirmed } from "./asking.js";
import { cards } from "./cards.js";
import { attempt, during, element, find, moment, revocable, step, write } from "./dom.js";

// word is a name that no shell reads otherwise.
const word = /^[a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?$/;

export const apps = {
  uses: [],

  // show opens the dialog; with a profile it is to add an app of that.
  async show(profile) {
    const dialog = find("apps");
    if (!dialog.open) dialog.showModal();
    await attempt(find("apps-error"), () => this.load());
    if (!profile) return;
    find("app").open = true;
    for (const input of find("app-profiles").querySelectorAll("input")) input.checked = input.value === profile;
    find("app-name").focus();
  },

  async load() {
    const { apps: all, scopes, uses } = await ask("GET", "/v1/apps");
    find("apps-none").hidden = all.length > 0;
    find("apps-list").replaceChildren(...all.map((app) => {
      const ends = !app.expires_at ? "Ends with its program."
        : new Date(app.expires_at) < new Date() ? "Has ended." : `Ends ${moment(app.expires_at)}.`;
      const asked = app.last_asked_at ? ` Last asked ${moment(app.last_asked_at)}.` : " Has not asked lately.";
      const lost = app.narrowed ? " Tweaks and uploads need the scope tweak: if it uses them, add it again with that." : "";
      return revocable(app.name, [`may ${app.may}: ${app.profiles.join(", ")}.${asked} ${ends}${lost}`], find("apps-error"), async () => {
        await send("DELETE", `/v1/clients/${encodeURIComponent(app.name)}`);
        await this.load();
      }, find("apps-done"));
    }));
    this.fillAdd(scopes);
    this.uses = uses;
    const askers = [...new Map(uses.map((use) => [use.client, use.who]))];
    const chosen = find("uses-of").value;
    find("uses-of").replaceChildren(element("option", { value: "apps" }, "Apps and commands"), element("option", { value: "all" }, "Everybody, you too"),
      ...askers.map(([client, who]) => element("option", { value: `=${client}` }, who)));
    find("uses-of").value = chosen || "apps";
    this.showUses();
    if (all.some((app) => app.narrowed)) await send("PATCH", "/v1/clients", { seen: true });
  },

  // fillAdd makes the choices of the form that adds an app, and keeps those that were made.
  fillAdd(scopes) {
    const check = (name, value, words, checked) => {
      const input = element("input", { type: "checkbox", name, value, checked });
      return element("label", { className: "check" }, input, words);
    };
    const before = this.chosen("profile");
    const names = [...cards.keys()].sort();
    const kept = names.filter((name) => before.includes(name));
    if (find("app-scopes").childElementCount === 1) find("app-scopes").append(...scopes.map(({ scope, may }) => check("scope", scope, may, scope === "run")));
    find("app-profiles").replaceChildren(element("legend", {}, "Of these profiles"),
      ...names.map((name, i) => check("profile", name, name, kept.length > 0 ? kept.includes(name) : i === 0)));
    find("app-profiles").hidden = names.length < 2;
    find("app").hidden = names.length === 0;
  },

  chosen: (name) => [...find("app").querySelectorAll(`[name=${name}]:checked`)].map(({ value }) => value),

  // add has the agent make the app's token, which is shown this once. The page grants what
  // it has not got itself only after the person has confirmed it.
  add() {
    const name = find("app-name").value.trim();
    const body = { name, profiles: this.chosen("profile"), scopes: this.chosen("scope"), expires_in: Number(find("app-ends").value) * 86_400 };
    const lacks = !word.test(name) ? "Give it a name of lower-case letters, digits, dots and dashes."
      : body.profiles.length === 0 ? "Choose a profile." : body.scopes.length === 0 ? "Choose what it may do." : "";
    write(find("app-error"), lacks);
    find("app-made").replaceChildren();
    if (lacks) {
      if (!word.test(name)) find("app-name").focus();
      return undefined;
    }
    return during(find("app-add"), "Adding…", async () => {
      try {
        if (!await confirmed()) return;
        const { token } = await ask("POST", "/v1/clients", body);
        if (!find("apps").open) return;
        const proxied = body.scopes.some((scope) => ["run", "tweak", "edit", "proxy"].includes(scope));
        const urls = proxied ? body.profiles.map((profile) => cards.get(profile)?.data.proxy_url).filter(Boolean) : [];
        find("app-made").replaceChildren(step(`Token of ${name}, which is shown this once`, token),
          ...(urls.length === 1 ? [step("URL", urls[0])] : []));
        find("app-name").value = "";
        find("app").open = false; // the token is what matters now
        find("app-made").querySelector("button").focus();
        await this.load();
      } catch (problem) {
        write(find("app-error"), problem.message);
        if (problem.kind !== "not-supported") return;
        write(find("app-error"), "No desktop here can show you a code to confirm this page with.");
        find("app-made").replaceChildren(step("Add it in a terminal, which shows the token once", ["langkeep client add", name,
          ...body.profiles.map((profile) => `--profile ${profile}`), ...body.scopes.map((scope) => `--scope ${scope}`), `--expires ${find("app-ends").value}d`].join(" ")));
      }
    });
  },

  // showUses tells who asked for what. Without a choice it leaves the person's own looks out.
  showUses() {
    const of = find("uses-of").value;
    const shown = this.uses.filter(({ client, own_look: ownLook }) => (of === "all" ? true
      : of === "apps" ? client !== "page" && !ownLook : client === of.slice(1))).slice(0, 50);
    find("uses-none").hidden = shown.length > 0;
    find("uses").replaceChildren(...shown.map(({ at, who, did, profile, program, count }) => element("li", {},
      element("time", { dateTime: at }, moment(at)),
      element("p", {}, element("b", {}, who), `${program ? ` (${program})` : ""} ${did}`,
        ...(profile ? [" (", element("b", {}, profile), ")"] : []), count > 1 ? `, ${count} times.` : "."))));
  },

  clear() {
    this.uses = [];
    for (const id of ["apps-list", "uses", "app-profiles"]) find(id).replaceChildren();
    for (const label of find("app-scopes").querySelectorAll("label")) label.remove();
  },
};

find("app-add").onclick = () => apps.add();
find("app-name").onkeydown = (event) => {
  if (event.key !== "Enter") return;
  event.preventDefault(); // which would close the dialog
  apps.add();
};
find("apps").addEventListener("close", () => find("app-made").replaceChildren()); // nothing keeps the token
find("uses-of").onchange = () => apps.showUses();
