// The apps: programs with a token of their own, and what all programs asked for.

import { ask, send } from "./agent.js";
import { cards } from "./card.js";
import { element, find, moment, revocable, step, write } from "./dom.js";

// word is a name that no shell reads otherwise.
const word = /^[a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?$/;

export const apps = {
  uses: [],

  async show() {
    const dialog = find("apps");
    write(find("apps-error"), "");
    if (!dialog.open) dialog.showModal();
    try {
      await this.load();
    } catch (problem) {
      write(find("apps-error"), problem.message);
    }
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

  // fillAdd makes the choices of the form that composes a command: a token is shown in the
  // terminal alone, since the page grants none.
  fillAdd(scopes) {
    if (find("app-scopes").childElementCount > 1) return;
    const check = (name, value, words, checked) => {
      const input = element("input", { type: "checkbox", name, value, checked });
      return element("label", { className: "check" }, input, words);
    };
    find("app-scopes").append(...scopes.map(({ scope, may }) => check("scope", scope, may, scope === "run")));
    find("app-profiles").replaceChildren(element("legend", {}, "Of these profiles"),
      ...[...cards.keys()].sort().map((name, i) => check("profile", name, name, i === 0)));
    find("app-profiles").hidden = cards.size < 2;
    this.compose();
  },

  compose() {
    const values = (name) => [...find("app").querySelectorAll(`[name=${name}]:checked`)].map(({ value }) => value);
    const name = find("app-name").value.trim() || "my-app";
    const profiles = values("profile");
    const scopes = values("scope");
    const lacks = !word.test(name) ? "A name has lower-case letters, digits, dots and dashes." : profiles.length === 0 ? "Choose a profile." : scopes.length === 0 ? "Choose what it may do." : "";
    write(find("app-error"), lacks);
    find("app-command").replaceChildren(...(lacks ? [] : [step("Run this: it shows the token, once", ["langkeep client add", name,
      ...profiles.map((profile) => `--profile ${profile}`), ...scopes.map((scope) => `--scope ${scope}`), `--expires ${find("app-ends").value}`].join(" "))]));
  },

  // showUses tells who asked for what. Without a choice it leaves the person's own looks out.
  showUses() {
    const of = find("uses-of").value;
    const shown = this.uses.filter(({ client, did }) => (of === "all" ? true
      : of === "apps" ? client !== "page" && did !== "looked at the state" && did !== "opened the page" : client === of.slice(1))).slice(0, 50);
    find("uses-none").hidden = shown.length > 0;
    find("uses").replaceChildren(...shown.map(({ at, who, did, profile, program, count }) => element("li", {},
      element("time", { dateTime: at }, moment(at)),
      element("p", {}, element("b", {}, who), `${program ? ` (${program})` : ""} ${did}`,
        ...(profile ? [" of ", element("b", {}, profile)] : []), count > 1 ? `, ${count} times.` : "."))));
  },

  clear() {
    this.uses = [];
    for (const id of ["apps-list", "uses", "app-command", "app-profiles"]) find(id).replaceChildren();
    for (const label of find("app-scopes").querySelectorAll("label")) label.remove();
  },
};

find("app").onchange = find("app-name").oninput = () => apps.compose();
find("uses-of").onchange = () => apps.showUses();
