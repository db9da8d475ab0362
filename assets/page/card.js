// A profile's card, and all that is done on it.

import { ask, pathOf, send } from "./agent.js";
import { cards } from "./cards.js";
import { actions, announce, attempt, button, during, element, failure, field, icon, menu, moment, revocable, svg, toast, uniqueId, write } from "./dom.js";
import { Strip, table } from "./history.js";
import { Front, commandOf, methods, remedy, wordsOf } from "./signin.js";
import { Use } from "./use.js";

const node = ["circle", { cx: 8, cy: 8, r: 2.5, class: "node" }];
const shapes = {
  // A ring around a node: the session that is kept.
  kept: [["circle", { cx: 8, cy: 8, r: 6 }], node],
  attention: [["path", { d: "M7.17 2.05A6 6 0 1 0 13.95 8.83" }], node, ["circle", { cx: 12.75, cy: 3.25, r: 2.75, class: "dot" }]],
  offline: [["circle", { cx: 8, cy: 8, r: 6, "stroke-dasharray": "4.08 2.203", "stroke-dashoffset": 2.04 }], node],
  out: [["circle", { cx: 8, cy: 8, r: 6 }]],
};
const shapeOf = ({ state, needs_you }) => {
  if (needs_you) return "attention";
  return { fresh: "kept", retrying: "offline", stale: "offline" }[state] ?? "out";
};

const drawing = (shape) => svg(`state ${shape}`, ...shapes[shape]);

// many is how many cards are shown whole; more are rows that open.
export const many = 6;

export class Card {
  constructor(data) {
    const id = uniqueId("card");
    this.title = element("h2", { id, tabIndex: -1 }, data.name);
    this.server = element("p", { className: "server" });
    this.label = element("p", { className: "label" });
    this.long = element("p", { className: "long" });
    this.proxy = element("p", { className: "hint" });
    this.error = failure();
    this.actions = actions();
    this.panel = element("div", { className: "panel" });
    this.toggle = element("button", { type: "button", className: "toggle" }, icon("chevron"));
    this.toggle.setAttribute("aria-label", `Details of ${data.name}`);
    this.toggle.onclick = () => this.open(!this.isOpen);
    this.head = element("div", { className: "head" }, drawing("out"), element("div", { className: "who" }, this.title, this.server), this.label, this.toggle, this.actions);
    this.head.onclick = ({ target }) => { if (!target.closest("button, a, [role=menu]") && this.isRow) this.open(!this.isOpen); };
    this.strip = new Strip();
    this.body = element("div", { className: "body" }, this.long, this.proxy, this.strip.root, this.error, this.panel);
    this.root = element("article", {}, this.head, this.body);
    this.root.setAttribute("aria-labelledby", id);
    this.isRow = false;
    this.isOpen = true;
    this.update(data, true);
  }

  // asRow makes a card a row that opens, or a whole card again.
  asRow(is) {
    if (this.isRow === is) return;
    this.isRow = is;
    this.open(!is || this.panel.childElementCount > 0);
  }

  open(is) {
    this.isOpen = is || !this.isRow;
    this.toggle.setAttribute("aria-expanded", String(this.isOpen));
    this.dress();
  }

  dress() {
    const { state, needs_you: needed } = this.data;
    this.root.className = `card ${state}${needed ? " needs-you" : ""}${this.isRow ? " row" : ""}${this.isOpen ? "" : " closed"}`;
  }

  update(data, first) {
    const before = this.data;
    this.data = data;
    this.dress();
    if (!before || shapeOf(before) !== shapeOf(data)) this.head.firstChild.replaceWith(drawing(shapeOf(data)));
    write(this.server, data.server_url.replace(/^https:\/\//, ""));
    write(this.label, data.label);
    write(this.long, data.long);
    this.strip.update(data.history);
    const open = [...data.proxy_allow_origins.map((origin) => `pages of ${origin}`),
      ...data.proxy_allow_hosts.map((host) => `programs that call this computer ${host}`),
      ...(data.proxy_socket ? [`programs with the socket ${data.proxy_socket}`] : [])];
    write(this.proxy, data.proxy_url ? `Proxy at ${data.proxy_url}${open.length ? `, open to ${open.join(", ")}` : ""}.` : "");

    const offers = ({ state, proxy_url: proxy, signing_in: opened, sign_in: way, gateway_headers: kept }) => [state, proxy, opened, way, kept.length > 0].join();
    if (!before || offers(before) !== offers(data)) this.offer();
    if (this.panel.dataset.kind === "details") this.fillDetails();
    if (data.signing_in && !before?.signing_in && this.panel.dataset.kind === "sign-in") this.close();
    if (before?.state !== data.state || before.signing_in !== data.signing_in) {
      write(this.error, "");
      if (!first) announce(`${data.name}: ${data.long}`);
      if (data.state === "fresh" && this.panel.dataset.kind === "sign-in") this.close();
    }
  }

  // offer makes the one action that the state asks for, and a menu of the others.
  offer() {
    const { name, state, server_url: url, sign_in: way } = this.data;
    const signedIn = ["fresh", "retrying", "stale"].includes(state);
    const offered = (words, act, style, label = `${words} ${name}`) => button(words, act, { style, label });
    const now = (words, busy) => offered(words, (made) => this.run(made, busy, "POST", "/refresh"), "primary");
    const link = element("a", { className: "button primary", href: url, target: "_blank", rel: "noopener noreferrer" }, "Open Langflow");
    link.setAttribute("aria-label", `Open Langflow of ${name} in a new tab`);
    const focused = this.actions.contains(document.activeElement);
    if (this.data.signing_in) {
      this.actions.replaceChildren(offered("Cancel", (made) => {
        this.cancelled = true;
        return this.run(made, "Cancelling…", "POST", "/login/cancel");
      }, "", `Cancel the sign-in to ${name}`));
    } else {
      const primary = way === "browser" ? offered("Sign in", (made) => this.byBrowser(made), "primary")
        : way === "form" ? offered("Sign in", () => this.signIn(), "primary")
          : state === "keychain-locked" ? now("Unlock", "Unlocking…")
            : state === "fresh" ? link : now("Try now", "Trying…");
      primary.classList.add("first");
      const items = [
        way === "browser" && ["Other ways to sign in", () => this.signIn()],
        signedIn && state === "fresh" && ["Refresh now", () => this.run(null, "Refreshing…", "POST", "/refresh", undefined, "Refreshed")],
        signedIn && way !== "none" && ["Try now", () => this.run(null, "Trying…", "POST", "/refresh")],
        ["Details", () => this.showDetails()],
        signedIn && state !== "stale" && ["API keys", () => this.showKeys()],
        this.data.gateway_headers.length > 0 && ["Gateway headers", () => this.showHeaders()],
        signedIn && (this.data.proxy_url ? ["Close the proxy", () => this.setProxy(false)] : ["Open the proxy", () => this.setProxy(true)]),
        signedIn && ["Sign out", () => this.signOut()],
        ["Remove", () => this.confirmRemoval(), "danger"],
      ].filter(Boolean);
      const use = signedIn ? [offered("Use it", () => this.use())] : [];
      this.actions.replaceChildren(primary, ...use, menu(`More for ${name}`, items));
    }
    if (focused) this.actions.firstChild.focus();
  }

  // run asks for a change of this profile, and says here what is wrong. The stream tells
  // what came of it; done is a toast for what it doesn't tell. It returns whether it worked.
  async run(pressed, busy, method, action, body, done, undo) {
    write(this.error, "");
    const work = async () => {
      try {
        await ask(method, pathOf(this.data.name, action), body);
        if (done) toast(`${this.data.name}: ${done}.`, undo);
        return true;
      } catch (problem) {
        if (!this.data.long.includes(problem.message)) {
          write(this.error, problem.message);
          this.open(true);
        }
        return false;
      }
    };
    if (pressed) return during(pressed, busy, work);
    this.root.setAttribute("aria-busy", "true");
    try {
      return await work();
    } finally {
      this.root.removeAttribute("aria-busy");
    }
  }

  setProxy(on) {
    return this.run(null, "", "PATCH", "", { proxy: on }, on ? "The proxy is open" : "The proxy is closed", () => this.setProxy(!on));
  }

  // signOut asks first where a sign-out can't be taken back by signing in again.
  signOut() {
    const out = (made) => this.run(made ?? null, "Signing out…", "POST", "/logout", undefined, "Signed out");
    if (this.data.method !== "api-key") return out();
    this.confirm("sign-out", `Sign out of ${this.data.name}? Langkeep may have the only copy of its API key, and forgets it.`, "Sign out", out);
    return undefined;
  }

  // byBrowser has Langkeep open a browser for the person to sign in in. The stream tells
  // that it is open, and what came of it.
  byBrowser(pressed, { headers, change } = {}) {
    write(this.error, "");
    this.cancelled = false;
    return during(pressed, "Opening the browser…", async () => {
      try {
        await ask("POST", pathOf(this.data.name, "/login"), { browser: true, headers, change });
      } catch (problem) {
        if (!this.cancelled) write(this.error, problem.message);
      }
    });
  }

  close() {
    const focused = this.panel.contains(document.activeElement);
    this.panel.replaceChildren();
    delete this.panel.dataset.kind;
    this.actions.hidden = false;
    if (focused) this.title.focus();
  }

  // confirm asks before something that can't be undone.
  confirm(kind, words, yes, act) {
    const keep = button("Keep", () => this.close());
    const sure = button(yes, async () => { if (await act(sure)) this.close(); }, { style: "danger" });
    const question = element("p", { id: uniqueId("question") }, words);
    const group = element("div", { className: "panel-body" }, question, actions(sure, keep));
    group.setAttribute("role", "alertdialog");
    group.setAttribute("aria-labelledby", question.id);
    this.show(kind, group);
    keep.focus();
  }

  confirmRemoval() {
    const { name } = this.data;
    this.confirm("remove", `Remove ${name}? Its session and its secrets on this computer are deleted.`, "Remove",
      (sure) => this.run(sure, "Removing…", "DELETE", ""));
  }

  // show opens the panel below the card's line.
  show(kind, ...content) {
    write(this.error, "");
    this.panel.dataset.kind = kind;
    this.actions.hidden = ["sign-in", "sign-out", "remove"].includes(kind); // the panel has them
    this.panel.onkeydown = (event) => { if (event.key === "Escape") this.close(); };
    this.panel.replaceChildren(...content);
    this.open(true);
  }

  // use shows how programs use the profile.
  use() {
    if (this.panel.dataset.kind === "use") {
      this.close();
      return;
    }
    const view = new Use(this, () => this.close());
    this.show("use", view.root);
    view.load();
  }

  showDetails() {
    const close = button("Close", () => this.close());
    this.facts = element("dl", { className: "facts" });
    this.facts.setAttribute("aria-label", `Details of ${this.data.name}`);
    this.show("details", this.facts, ...(this.data.history.length > 0 ? [table(this.data.history)] : []), actions(close));
    this.fillDetails();
    close.focus();
  }

  fillDetails() {
    const { data } = this;
    const facts = [["Address", data.server_url], ["Langflow", data.server_version ?? "–"], ["Account", data.username ?? "–"],
      ["Signs in with", methods[data.method] ?? "–"], ["Session left", data.session_left], ["Token left", data.token_left],
      ["Refreshed", data.last_refresh], ["Next", data.next], ["Server said", data.reason_detail ?? "–"]].filter(([, value]) => value !== "–");
    const shown = facts.map((fact) => fact[0]).join();
    if (this.facts.dataset.shown !== shown) {
      this.facts.dataset.shown = shown;
      this.facts.replaceChildren(...facts.map(([name]) => element("div", {}, element("dt", {}, name), element("dd"))));
    }
    facts.forEach(([, value], i) => write(this.facts.children[i].lastChild, value));
  }

  // showKeys lists the account's API keys, whoever made them.
  async showKeys() {
    const { name } = this.data;
    const said = element("p", { className: "said", tabIndex: -1 }, "Asking the server for the account's API keys…");
    said.setAttribute("role", "status");
    const error = failure();
    const list = element("ul", { className: "list" });
    this.show("keys", said, list, error, actions(button("Close", () => this.close())));
    said.focus();
    const load = async () => {
      const { keys } = await ask("GET", pathOf(name, "/keys"));
      write(said, keys.length === 0 ? "The account has no API keys." : `The account has ${keys.length === 1 ? "one API key" : `${keys.length} API keys`}.`);
      list.replaceChildren(...keys.map((key) => {
        const whose = key.current ? " Made by Langkeep, in use now." : key.managed ? " Made by Langkeep earlier." : "";
        const used = key.last_used_at ? `Last used ${moment(key.last_used_at)}.` : "Never used.";
        const ends = !key.active ? element("span", {}, "Switched off.")
          : key.expires_at ? element("span", {}, `Ends ${moment(key.expires_at)}.`)
            : element("span", { className: "marked" }, "Never ends.");
        return revocable(key.name, [ends, ` ${used}${whose}`], error, async () => {
          await send("DELETE", `${pathOf(name, "/keys")}?id=${encodeURIComponent(key.id)}`);
          await load();
        }, said);
      }));
    };
    try {
      await load();
    } catch (problem) {
      write(said, "");
      write(error, problem.message);
    }
  }

  // showHeaders offers to replace some of the headers that are kept for a gateway.
  showHeaders() {
    const { name, gateway_headers: kept } = this.data;
    const error = failure();
    const rows = kept.map((header) => ({ header, ...field(header, { type: "password", autocomplete: "off", placeholder: "unchanged" }) }));
    const save = button("Save", null, { type: "submit", style: "primary" });
    const cancel = button("Cancel", () => this.close(), { style: "plain" });
    const form = element("form", { noValidate: true },
      element("p", { className: "hint" }, "Sent to this server alone. A header without a new value stays as it is. Values are never shown."),
      element("div", { className: "fields" }, ...rows.flatMap((row) => row.parts)), error, actions(save, cancel));
    form.setAttribute("aria-label", `Gateway headers of ${name}`);
    form.onsubmit = (event) => {
      event.preventDefault();
      const typed = rows.filter(({ input }) => input.value).map(({ header, input }) => [header, input.value]);
      if (typed.length === 0) {
        write(error, "Type a new value.");
        rows[0].input.focus();
        return;
      }
      during(save, "Saving…", () => attempt(error, async () => {
        await ask("PATCH", pathOf(name), { gateway_headers: Object.fromEntries(typed) });
        this.close();
      }));
    };
    this.show("headers", form);
    rows[0].input.focus();
  }

  // signIn opens the form, once it is known what the server accepts.
  async signIn(offer) {
    this.show("sign-in");
    if (!offer) {
      const said = element("p", { className: "said", tabIndex: -1 }, "Asking the server how to sign in…");
      said.setAttribute("role", "status");
      this.panel.replaceChildren(said);
      said.focus();
      try {
        offer = await ask("POST", "/v1/probe", { profile: this.data.name });
      } catch (problem) {
        if (this.panel.dataset.kind === "sign-in") this.cannotAsk(problem);
        return;
      }
      if (this.panel.dataset.kind !== "sign-in") return; // closed meanwhile
    }
    this.showSignIn(offer);
  }

  cannotAsk(problem) {
    const error = failure(problem.message);
    const mend = remedy(problem, async (change) => {
      try {
        await ask("PATCH", pathOf(this.data.name), change);
        this.signIn();
      } catch (next) {
        this.cannotAsk(next);
      }
    });
    this.panel.replaceChildren(error, element("div", { className: "remedy" }, ...mend), actions(
      button("Try again", () => this.signIn()), button("Cancel", () => this.close(), { style: "plain" })));
    error.focus();
  }

  showSignIn(offer) {
    const preferred = offer.methods.includes(this.data.method) ? this.data.method : offer.methods[0];
    const group = uniqueId("method");
    const inBrowser = offer.gateway && !["basic", "client-certificate"].includes(offer.gateway); // which nothing else may get through
    const choice = element("fieldset", {}, element("legend", {}, inBrowser ? "Or sign in with" : "Sign in with"));
    for (const method of offer.methods) {
      const radio = element("input", { type: "radio", name: group, value: method, checked: method === preferred });
      radio.onchange = () => show(method);
      choice.append(element("label", { className: "check" }, radio, methods[method] ?? method));
    }
    const fields = element("div", { className: "fields" });
    const error = failure();
    const front = new Front(this.data, offer);
    const submit = button("Sign in", null, { type: "submit", style: inBrowser ? "" : "primary" });
    const browser = button("Sign in in the browser", () => {
      clean();
      if (frontIsWhole()) this.byBrowser(browser, { headers: front.given(), change: some(front.change()) });
    }, { style: inBrowser ? "primary" : "" });
    const cancel = button("Cancel", () => this.close(), { style: "plain" });
    const form = element("form", { noValidate: true },
      ...(offer.words ? [element("p", {}, offer.words)] : []), ...(inBrowser ? [actions(browser)] : []),
      choice, fields, front.root, error, actions(submit, ...(inBrowser ? [] : [browser]), cancel));
    form.setAttribute("aria-label", `Sign in to ${this.data.name}`);

    let method = preferred;
    let inputs = {};
    const show = (chosen) => {
      method = chosen;
      inputs = {};
      const parts = [];
      const add = (key, label, properties, hint) => {
        const made = field(label, { name: key, ...properties }, hint);
        made.input.setAttribute("aria-errormessage", error.id);
        inputs[key] = made.input;
        parts.push(...made.parts);
      };
      switch (method) {
        case "password": {
          add("username", "User name", { type: "text", autocomplete: "username", value: this.data.username ?? "" });
          add("password", "Password", { type: "password", autocomplete: "current-password" });
          inputs.remember_password = element("input", { type: "checkbox", name: "remember_password" });
          parts.push(
            element("label", { className: "check" }, inputs.remember_password, "Remember the password"),
            element("p", { className: "hint" }, "Then Langkeep signs in again by itself when the server ends the session."));
          break;
        }
        case "refresh-token":
          add("refresh_token", "Refresh token", { type: "password", autocomplete: "off" },
            "The cookie refresh_token_lf of a browser that is signed in, for servers with single sign-on.");
          break;
        case "api-key":
          add("api_key", "API key", { type: "password", autocomplete: "off" }, "From Langflow's settings. It opens flows, but gives no access token.");
          break;
        case "external":
          add("token_command", "Command that prints the token", { type: "text", autocomplete: "off", placeholder: "oidc-token flows",
            value: commandOf(this.data.token_command) }, "A program and its words; no shell reads them. Langkeep runs it again before the token ends.");
          add("token_header", "Header for the token", { type: "text", autocomplete: "off", placeholder: "Authorization",
            value: this.data.token_header ?? "" }, "Empty, unless the server wants another one than Authorization.");
          break;
        case "auto-login":
          parts.push(element("p", { className: "hint" }, "This server needs no password: there is nothing to type."));
      }
      fields.replaceChildren(...parts);
      write(error, "");
    };

    const lacks = (input, words) => {
      input.closest("details")?.setAttribute("open", "");
      input.setAttribute("aria-invalid", "true");
      write(error, words);
      input.focus();
    };
    // some is what to change with the sign-in; undefined for nothing.
    const some = (change) => (Object.keys(change).length > 0 ? change : undefined);
    const clean = () => {
      write(error, "");
      for (const input of form.querySelectorAll("[aria-invalid]")) input.removeAttribute("aria-invalid");
    };
    const frontIsWhole = () => {
      const faulty = front.faulty();
      if (faulty) lacks(...faulty);
      return !faulty;
    };
    form.onsubmit = (event) => {
      event.preventDefault();
      clean();
      const body = { method };
      const change = {};
      for (const [key, input] of Object.entries(inputs)) {
        if (input.type === "checkbox") {
          if (input.checked) body[key] = true;
        } else if (key === "token_header") {
          if (input.value.trim() !== (this.data.token_header ?? "")) change[key] = input.value.trim();
        } else if (input.value === "") {
          lacks(input, { username: "Type your user name.", password: "Type your password.", refresh_token: "Paste the refresh token.", api_key: "Paste the API key.",
            token_command: "Type the command that prints the token." }[key]);
          return;
        } else if (key === "token_command") {
          try {
            change[key] = wordsOf(input.value);
          } catch {
            lacks(input, "A command that begins with [ is a JSON array of words.");
            return;
          }
        } else {
          body[key] = input.value;
        }
      }
      if (!frontIsWhole()) return;
      body.headers = front.given();
      body.change = some({ ...front.change(), ...change });
      during(submit, "Signing in…", async () => {
        try {
          await ask("POST", pathOf(this.data.name, "/login"), body);
          if (this.panel.dataset.kind === "sign-in") this.close();
        } catch (problem) {
          write(error, problem.message);
          const typed = inputs.password ?? inputs.refresh_token ?? inputs.api_key;
          if (problem.kind === "sign-in-required" && typed) {
            typed.value = "";
            typed.setAttribute("aria-invalid", "true");
            typed.focus();
          }
        }
      });
    };
    show(method);
    this.panel.replaceChildren(form);
    const first = Object.values(inputs).find((input) => input.value === "" && input.type !== "checkbox");
    (inBrowser ? browser : first ?? submit).focus();
  }
}
