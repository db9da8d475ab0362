// A profile's card, and all that is done on it.

import { ask, pathOf, send } from "./agent.js";
import { announce, during, element, field, moment, revocable, uniqueId, write } from "./dom.js";
import { Front, commandOf, methods, remedy, wordsOf } from "./signin.js";

export const cards = new Map(); // by name

const shapes = {
  // A ring around a node: the session that is kept.
  kept: [["circle", { cx: 8, cy: 8, r: 6 }], ["node", {}]],
  attention: [["path", { d: "M7.17 2.05A6 6 0 1 0 13.95 8.83" }], ["node", {}], ["dot", {}]],
  offline: [["circle", { cx: 8, cy: 8, r: 6, "stroke-dasharray": "4.08 2.203", "stroke-dashoffset": 2.04 }], ["node", {}]],
  out: [["circle", { cx: 8, cy: 8, r: 6 }]],
};
const shapeOf = ({ state, needs_you }) => {
  if (needs_you) return "attention";
  return { fresh: "kept", retrying: "offline", stale: "offline" }[state] ?? "out";
};

function drawing(shape) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const part = (tag, attributes) => {
    const made = document.createElementNS(svg.namespaceURI, tag);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    svg.append(made);
  };
  svg.setAttribute("viewBox", "0 0 16 16");
  svg.setAttribute("aria-hidden", "true");
  svg.setAttribute("class", `state ${shape}`);
  for (const [tag, attributes] of shapes[shape]) {
    if (tag === "node") part("circle", { cx: 8, cy: 8, r: 2.5, fill: "currentColor" });
    else if (tag === "dot") part("circle", { cx: 12.75, cy: 3.25, r: 2.75, class: "dot" });
    else part(tag, { fill: "none", stroke: "currentColor", "stroke-width": 2, ...attributes });
  }
  return svg;
}

export class Card {
  constructor(data) {
    const id = uniqueId("card");
    this.title = element("h2", { id, tabIndex: -1 }, data.name);
    this.server = element("p", { className: "server" });
    this.short = element("p", { className: "short" });
    this.long = element("p", { className: "long" });
    this.fill = element("span");
    this.meter = element("div", { className: "meter" }, this.fill);
    this.meter.setAttribute("role", "meter");
    this.meter.setAttribute("aria-label", "What is left of the token");
    this.meter.setAttribute("aria-valuemin", "0");
    this.meter.setAttribute("aria-valuemax", "100");
    this.facts = element("dl", { className: "facts" });
    this.error = element("p", { className: "error" });
    this.error.setAttribute("role", "alert");
    this.actions = element("div", { className: "actions" });
    this.panel = element("div", { className: "panel" });
    this.head = element("div", { className: "head" }, drawing("out"), element("div", {}, this.title, this.server), this.short);
    this.root = element("article", {}, this.head, this.long, this.meter, this.facts, this.error, this.actions, this.panel);
    this.root.setAttribute("aria-labelledby", id);
    this.update(data, true);
  }

  update(data, first) {
    const before = this.data;
    this.data = data;
    this.root.className = `card ${data.state}${data.needs_you ? " needs-you" : ""}`;
    if (!before || shapeOf(before) !== shapeOf(data)) this.head.firstChild.replaceWith(drawing(shapeOf(data)));
    write(this.server, data.server_url);
    write(this.short, data.short);
    write(this.long, data.long);

    this.meter.hidden = data.share === null;
    if (data.share !== null) {
      this.fill.style.transform = `scaleX(${data.share})`;
      this.meter.setAttribute("aria-valuenow", Math.round(data.share * 100));
      this.meter.setAttribute("aria-valuetext", data.token_left);
    }

    const facts = [["Token", data.token_left], ["Session", data.session_left],
      ["Refreshed", data.last_refresh], ["Langflow", data.server_version ?? "–"],
      ["Proxy", data.proxy_url ?? "–"],
      ["Proxy open to", !data.proxy_url ? "–" : [...data.proxy_allow_origins.map((origin) => `pages of ${origin}`),
        ...data.proxy_allow_hosts.map((host) => `programs that call this computer ${host}`),
        ...(data.proxy_socket ? [`programs with the socket ${data.proxy_socket}`] : [])].join(", ") || "–"]].filter(([, value]) => value !== "–");
    this.facts.hidden = facts.length === 0;
    const shown = facts.map((fact) => fact[0]).join();
    if (this.shownFacts !== shown) {
      this.shownFacts = shown;
      this.facts.replaceChildren(...facts.map(([name]) => element("div", {}, element("dt", {}, name), element("dd"))));
    }
    facts.forEach(([, value], i) => write(this.facts.children[i].lastChild, value));

    const offers = ({ state, proxy_url: proxy, signing_in: opened, sign_in: way, gateway_headers: kept }) => [state, proxy, opened, way, kept.length > 0].join();
    if (!before || offers(before) !== offers(data)) this.offer();
    if (data.signing_in && !before?.signing_in && this.panel.dataset.kind === "sign-in") this.close();
    if (before?.state !== data.state || before.signing_in !== data.signing_in) {
      write(this.error, "");
      if (!first) announce(`${data.name}: ${data.long}`);
      if (data.state === "fresh" && this.panel.dataset.kind === "sign-in") this.close();
    }
  }

  // offer makes the buttons that go with the state.
  offer() {
    const { name, state, server_url: url, sign_in: way } = this.data;
    const button = (words, act, style = "") => {
      const made = element("button", { type: "button", className: `button ${style}` }, words);
      made.setAttribute("aria-label", `${words} ${name}`);
      made.onclick = () => act(made);
      return made;
    };
    const now = (words, busy) => button(words, (made) => this.run(made, busy, "POST", "/refresh"), state === "keychain-locked" ? "primary" : "");
    const signIn = way === "browser"
      ? [button("Sign in", (made) => this.byBrowser(made), "primary"), button("Other ways to sign in", () => this.signIn())]
      : way === "form" ? [button("Sign in", () => this.signIn(), "primary")] : [];
    const signOut = button("Sign out", (made) => this.run(made, "Signing out…", "POST", "/logout"));
    const keys = button("API keys", () => this.showKeys());
    const headers = this.data.gateway_headers.length > 0 ? [button("Gateway headers", () => this.showHeaders())] : [];
    const proxy = this.data.proxy_url
      ? button("Close the proxy", (made) => this.run(made, "Closing…", "PATCH", "", { proxy: false }))
      : button("Open the proxy", (made) => this.run(made, "Opening…", "PATCH", "", { proxy: true }));
    const link = element("a", { className: "button", href: url, target: "_blank", rel: "noopener noreferrer" }, "Open Langflow");
    link.setAttribute("aria-label", `Open Langflow of ${name} in a new tab`);
    const offered = {
      "fresh": () => [link, now("Refresh now", "Refreshing…"), keys, ...headers, proxy, signOut],
      "retrying": () => [...signIn, now("Try now", "Trying…"), keys, ...headers, proxy, signOut],
      "stale": () => [...signIn, now("Try now", "Trying…"), ...headers, proxy, signOut],
      "keychain-locked": () => [now("Unlock", "Unlocking…")],
    }[state] ?? (() => [...signIn, ...headers]);
    const focused = this.actions.contains(document.activeElement);
    if (this.data.signing_in) {
      const cancel = button("Cancel", (made) => {
        this.cancelled = true;
        return this.run(made, "Cancelling…", "POST", "/login/cancel");
      });
      cancel.setAttribute("aria-label", `Cancel the sign-in to ${name}`);
      this.actions.replaceChildren(cancel);
    } else {
      this.actions.replaceChildren(...offered(), button("Remove", () => this.confirmRemoval(), "plain last"));
    }
    if (focused) this.actions.firstChild.focus();
  }

  // run asks for a change of this profile, and shows here what came of it.
  run(button, busy, method, action, body) {
    write(this.error, "");
    return during(button, busy, async () => {
      try {
        await ask(method, pathOf(this.data.name, action), body); // the stream tells what came of it
      } catch (problem) {
        if (!this.data.long.includes(problem.message)) write(this.error, problem.message);
      }
    });
  }

  // byBrowser has Langkeep open a browser for the person to sign in in. The stream tells
  // that it is open, and what came of it.
  byBrowser(button, { headers, change } = {}) {
    write(this.error, "");
    this.cancelled = false;
    return during(button, "Opening the browser…", async () => {
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

  confirmRemoval() {
    const { name } = this.data;
    write(this.error, "");
    this.panel.dataset.kind = "remove";
    const keep = element("button", { type: "button", className: "button" }, "Keep");
    const remove = element("button", { type: "button", className: "button danger" }, "Remove");
    keep.onclick = () => this.close();
    remove.onclick = () => this.run(remove, "Removing…", "DELETE", "");
    const question = element("p", { id: uniqueId("question") }, `Remove ${name}? Its session and its secrets on this computer are deleted.`);
    const group = element("div", { className: "panel-body" }, question, element("div", { className: "actions" }, remove, keep));
    group.setAttribute("role", "group");
    group.setAttribute("aria-labelledby", question.id);
    this.panel.replaceChildren(group);
    this.actions.hidden = true;
    this.escapable();
    keep.focus();
  }

  // showKeys lists the account's API keys, whoever made them.
  async showKeys() {
    const { name } = this.data;
    write(this.error, "");
    this.panel.dataset.kind = "keys";
    this.actions.hidden = true;
    this.escapable();
    const said = element("p", { className: "said", tabIndex: -1 }, "Asking the server for the account's API keys…");
    said.setAttribute("role", "status");
    const error = element("p", { className: "error" });
    error.setAttribute("role", "alert");
    const close = element("button", { type: "button", className: "button" }, "Close");
    close.onclick = () => this.close();
    const list = element("ul", { className: "list" });
    this.panel.replaceChildren(said, list, error, element("div", { className: "actions" }, close));
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
    write(this.error, "");
    this.panel.dataset.kind = "headers";
    this.actions.hidden = true;
    this.escapable();
    const error = element("p", { className: "error" });
    error.setAttribute("role", "alert");
    const rows = kept.map((header) => ({ header, ...field(header, { type: "password", autocomplete: "off", placeholder: "unchanged" }) }));
    const save = element("button", { type: "submit", className: "button primary" }, "Save");
    const cancel = element("button", { type: "button", className: "button plain" }, "Cancel");
    cancel.onclick = () => this.close();
    const form = element("form", { noValidate: true },
      element("p", { className: "hint" }, "Sent to this server alone. A header without a new value stays as it is. Values are never shown."),
      element("div", { className: "fields" }, ...rows.flatMap((row) => row.parts)), error, element("div", { className: "actions" }, save, cancel));
    form.setAttribute("aria-label", `Gateway headers of ${name}`);
    form.onsubmit = (event) => {
      event.preventDefault();
      const typed = rows.filter(({ input }) => input.value).map(({ header, input }) => [header, input.value]);
      if (typed.length === 0) {
        write(error, "Type a new value.");
        rows[0].input.focus();
        return;
      }
      during(save, "Saving…", async () => {
        try {
          await ask("PATCH", pathOf(name), { gateway_headers: Object.fromEntries(typed) });
          this.close();
        } catch (problem) {
          write(error, problem.message);
        }
      });
    };
    this.panel.replaceChildren(form);
    rows[0].input.focus();
  }

  escapable() {
    this.panel.onkeydown = (event) => { if (event.key === "Escape") this.close(); };
  }

  // signIn opens the form, once it is known what the server accepts.
  async signIn(offer) {
    write(this.error, "");
    this.actions.hidden = true;
    this.panel.dataset.kind = "sign-in";
    this.escapable();
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
    const error = element("p", { className: "error", tabIndex: -1 }, problem.message);
    error.setAttribute("role", "alert");
    const again = element("button", { type: "button", className: "button" }, "Try again");
    const cancel = element("button", { type: "button", className: "button plain" }, "Cancel");
    again.onclick = () => this.signIn();
    cancel.onclick = () => this.close();
    const mend = remedy(problem, async (change) => {
      try {
        await ask("PATCH", pathOf(this.data.name), change);
        this.signIn();
      } catch (next) {
        this.cannotAsk(next);
      }
    });
    this.panel.replaceChildren(error, element("div", { className: "remedy" }, ...mend), element("div", { className: "actions" }, again, cancel));
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
    const error = element("p", { className: "error", id: uniqueId("error") });
    error.setAttribute("role", "alert");
    const front = new Front(this.data, offer);
    const submit = element("button", { type: "submit", className: `button ${inBrowser ? "" : "primary"}` }, "Sign in");
    const browser = element("button", { type: "button", className: `button ${inBrowser ? "primary" : ""}` }, "Sign in in the browser");
    const cancel = element("button", { type: "button", className: "button plain" }, "Cancel");
    cancel.onclick = () => this.close();
    const form = element("form", { noValidate: true },
      ...(offer.words ? [element("p", {}, offer.words)] : []), ...(inBrowser ? [element("div", { className: "actions" }, browser)] : []),
      choice, fields, front.root, error, element("div", { className: "actions" }, submit, ...(inBrowser ? [] : [browser]), cancel));
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
    browser.onclick = () => {
      clean();
      if (frontIsWhole()) this.byBrowser(browser, { headers: front.given(), change: some(front.change()) });
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
