// The form that adds a profile.

import { ask } from "./agent.js";
import { cards } from "./cards.js";
import { button, during, find, write } from "./dom.js";
import { remedy } from "./signin.js";

export const addForm = {
  offer: null,    // of the address that is there now
  change: {},     // settings that it needs
  asking: null,   // AbortController
  timer: 0,
  empty: false,
  opening: null,  // the profile that was just added, whose sign-in is to open

  show(focus = true) {
    if (!find("add").hidden) return;
    find("add").hidden = false;
    find("open-add").setAttribute("aria-expanded", "true");
    if (focus) find("add-url").focus();
  },

  hide() {
    const focused = find("add").contains(document.activeElement);
    find("add").hidden = true;
    find("open-add").setAttribute("aria-expanded", "false");
    find("add-form").reset();
    this.forget();
    if (focused) find("open-add").focus();
  },

  setEmpty(empty) {
    this.empty = empty;
    find("content").classList.toggle("empty", empty);
    find("welcome").hidden = !empty;
    find("add-cancel").hidden = empty;
    find("open-add").hidden = empty;
    write(find("add-title"), empty ? "Welcome" : "Add a profile");
  },

  forget() {
    clearTimeout(this.timer);
    this.asking?.abort();
    this.offer = null;
    this.say("", "");
    write(find("add-error"), "");
    find("add-remedy").replaceChildren();
    find("add-found").hidden = true;
    find("add-submit").hidden = true;
  },

  say(words, tone) {
    find("add-said").className = `said ${tone}`;
    write(find("add-said"), words);
  },

  // address is what was typed, with the scheme that it most likely has; "" while
  // that can't be one yet.
  address() {
    const typed = find("add-url").value.trim();
    if (typed.includes("://")) return /^https?:\/\/[^/]+/i.test(typed) ? typed : "";
    if (/^(localhost|127\.\d+\.\d+\.\d+|\[::1\])(:\d+)?(\/|$)/.test(typed)) return `http://${typed}`;
    return /^[^/\s]+(\.[^/\s.]{2,}|:\d+)(\/|$)/.test(typed) ? `https://${typed}` : "";
  },

  typed(wait) {
    this.forget();
    this.change = {};
    if (this.address()) this.timer = setTimeout(() => this.check(), wait);
  },

  async check() {
    if (find("add-remedy").contains(document.activeElement)) find("add-url").focus();
    this.forget();
    const address = this.change.server_url ?? this.address();
    const control = this.asking = new AbortController();
    this.say(`Asking ${address.replace(/^https?:\/\//i, "").replace(/\/.*/, "")}…`, "");
    try {
      this.offer = await ask("POST", "/v1/probe", { ...this.change, server_url: address }, { signal: control.signal });
    } catch (problem) {
      if (control.signal.aborted) return;
      this.say(problem.message, "bad");
      if (!problem.reason && this.change.ca_file) problem.reason = "certificate"; // that file would not do
      find("add-remedy").replaceChildren(...remedy(problem, (change) => {
        Object.assign(this.change, change);
        if (change.server_url) find("add-url").value = change.server_url;
        return this.check();
      }, this.change.ca_file));
      return;
    }
    const accepted = this.offer.methods.includes("auto-login")
      ? "No password is needed." : "It wants a user name and password, or a token.";
    this.say(this.offer.gateway ? this.offer.words : `Langflow ${this.offer.version} answers there. ${accepted}`, "good");
    this.second(this.offer.server_url);
    this.named();
    find("add-found").hidden = false;
    find("add-submit").hidden = false;
  },

  // second has a person who has a profile of this server name another one, or go to the first.
  second(address) {
    const first = [...cards.values()].find(({ data }) => data.server_url === address);
    find("add-name").value = first ? "" : this.offer.name;
    write(find("add-submit"), first ? "Add a second profile" : "Add");
    if (!first) return;
    const { name } = first.data;
    this.say(`${name} is at this server already. A second profile is for another account there: give it a name of its own.`, "good");
    find("add-remedy").replaceChildren(button(`Go to ${name}`, () => {
      this.hide();
      first.open(true);
      first.title.focus();
    }));
  },

  named() {
    write(find("add-example"), `langkeep token ${find("add-name").value.trim() || "NAME"}`);
  },

  submit() {
    if (!this.offer) {
      if (this.address()) this.check();
      else this.say("Type the address that you open Langflow at, such as https://flows.example.org.", "bad");
      return;
    }
    const { offer, change } = this;
    write(find("add-error"), "");
    during(find("add-submit"), "Adding…", async () => {
      const name = find("add-name").value.trim();
      if (!name) {
        write(find("add-error"), "Give it a name.");
        find("add-name").focus();
        return;
      }
      try {
        await ask("POST", "/v1/profiles", { ...change, name, server_url: offer.server_url });
        this.hide();
        const card = cards.get(name);
        if (card) card.signIn(offer);
        else this.opening = { name, offer };
      } catch (problem) {
        write(find("add-error"), problem.message);
        find("add-name").focus();
      }
    });
  },
};
