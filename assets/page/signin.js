// What a form to sign in is made of.

import { bytesOf } from "./agent.js";
import { button, during, element, field } from "./dom.js";

// remedy offers what can be done, right here, about a problem of a server's
// address; apply gets the change.
export function remedy(problem, apply, caFile = "") {
  const act = (words, change) => button(words, (made) => during(made, "Trying…", () => apply(change())));
  switch (problem.reason) {
    case "moved":
      return problem.movedTo ? [act(`Use ${problem.movedTo}`, () => ({ server_url: problem.movedTo }))] : [];
    case "plain-http":
      return [act("Allow http:// for this server", () => ({ allow_http: true }))];
    case "certificate": {
      if (!caFile && !problem.message.includes("--ca-file")) return []; // such as one that has expired
      const { input, parts } = field("CA file (--ca-file)", { type: "text", placeholder: "/home/me/lab-ca.pem", value: caFile },
        "The full path of a PEM file on this computer.");
      return [...parts, act("Trust this CA", () => ({ ca_file: input.value.trim() }))];
    }
  }
  return [];
}
export const methods = {
  "password": "User name and password",
  "auto-login": "Without a password (auto login)",
  "refresh-token": "Refresh token",
  "api-key": "API key",
  "external": "Token of an identity provider",
};

// ---- In front of the server

// wordsOf splits a command at its spaces, or reads a JSON array of words.
export function wordsOf(text) {
  if (!text.trim().startsWith("[")) return text.split(/\s+/).filter(Boolean);
  const words = JSON.parse(text);
  if (!Array.isArray(words) || words.some((word) => typeof word !== "string")) throw new SyntaxError("no array of words");
  return words;
}

// commandOf is the reverse of wordsOf.
export function commandOf(words) {
  const plain = words.join(" ");
  const read = plain.startsWith("[") ? [] : wordsOf(plain);
  return read.length === words.length && read.every((word, i) => word === words[i]) ? plain : JSON.stringify(words);
}

// The parts of Front that fit each gateway; the others are there on request.
const fitting = {
  "basic": ["account"],
  "client-certificate": ["certificate"],
  "cloudflare-access": ["headers", "command"],
};

// Front is the part of the form to sign in for what a gateway in front of the server
// wants. data is the profile, offer what its server answered.
export class Front {
  constructor(data, offer) {
    this.data = data;
    this.rows = [];
    const fit = fitting[offer.gateway] ?? ["headers", "command", "certificate"];
    const used = {
      headers: data.gateway_headers.length > 0, command: data.header_command.length > 0, certificate: data.client_cert !== null,
    };
    const parts = {
      account: () => this.account(),
      headers: () => this.headers(offer.gateway),
      command: () => this.command(),
      certificate: () => this.certificate(),
    };
    const names = Object.keys(parts).filter((name) => name !== "account" || fit.includes(name));
    const now = names.filter((name) => fit.includes(name) || used[name]);
    const later = names.filter((name) => !now.includes(name));
    const body = element("div", { className: "fields" }, ...now.flatMap((name) => parts[name]()));
    if (later.length > 0) {
      body.append(button("Other ways through", (more) => {
        const added = later.flatMap((name) => parts[name]());
        more.replaceWith(...added);
        added.flatMap((node) => [...(node.matches("input") ? [node] : node.querySelectorAll("input"))])[0].focus();
      }, { style: "plain" }));
    }
    const hint = element("p", { className: "hint" }, offer.gateway ? "A gateway lets Langkeep through with what is given here."
      : "For a gateway that wants something of its own before it lets Langkeep through.");
    this.root = element("details", { className: "front", open: Boolean(offer.gateway) || Object.values(used).includes(true) && data.reason === "gateway" },
      element("summary", {}, "In front of the server"), hint, body);
  }

  // account are the name and password of a web server.
  account() {
    const name = field("User name for the web server", { name: "front_user", type: "text", autocomplete: "off" });
    const password = field("Password for the web server", { name: "front_password", type: "password", autocomplete: "off" });
    this.user = name.input;
    this.userPassword = password.input;
    return [...name.parts, ...password.parts];
  }

  headers(gateway) {
    const parts = [];
    const { gateway_headers: kept } = this.data;
    if (kept.length > 0) {
      const remove = button("Remove", () => {
        this.removed = true;
        item.replaceChildren(element("p", { tabIndex: -1 }, "The kept headers are removed when you sign in."));
        item.firstChild.focus();
      }, { label: "Remove the kept headers" });
      const item = element("div", { className: "kept" }, element("p", {}, "Kept: ", element("b", {}, kept.join(", ")), "."), remove);
      parts.push(item);
    }
    const list = element("div", { className: "fields" });
    const add = (name = "") => {
      const names = field("Header", { name: "header_name", type: "text", autocomplete: "off", placeholder: "X-Access-Token", value: name });
      const values = field("Its value", { name: "header_value", type: "password", autocomplete: "off", placeholder: kept.includes(name) ? "unchanged" : "" });
      this.rows.push({ name: names.input, value: values.input, suggested: name });
      list.append(element("div", { className: "pair" }, element("div", {}, ...names.parts), element("div", {}, ...values.parts)));
      return names.input;
    };
    if (kept.length > 0) kept.forEach((name) => add(name));
    else if (gateway === "cloudflare-access") ["CF-Access-Client-Id", "CF-Access-Client-Secret"].forEach((name) => add(name));
    else add();
    const another = button("Another header", () => add().focus(), { style: "plain" });
    const hint = element("p", { className: "hint" }, kept.length > 0
      ? "A header without a new value stays as it is. Values are never shown." : "Kept with the session's secrets, sent to this server alone, and never shown again.");
    return [...parts, list, hint, another];
  }

  command() {
    const made = field("Command that prints a header", { name: "header_command", type: "text", autocomplete: "off",
      placeholder: "cloudflared access token -app=https://flows.example.org", value: commandOf(this.data.header_command) },
    "A program and its words; no shell reads them. It prints a token, or headers as JSON.");
    const into = field("Header for what it prints", { name: "header_command_for", type: "text", autocomplete: "off", placeholder: "Authorization",
      value: this.data.header_command_for ?? "" });
    this.commandInput = made.input;
    this.commandFor = into.input;
    return [...made.parts, ...into.parts];
  }

  certificate() {
    const cert = field("Client certificate", { name: "client_cert", type: "text", autocomplete: "off", placeholder: "/home/me/client.pem", value: this.data.client_cert ?? "" });
    const key = field("Its private key", { name: "client_key", type: "text", autocomplete: "off", placeholder: "/home/me/client.key", value: this.data.client_key ?? "" },
      "The full paths of PEM files on this computer. They are read anew when they change.");
    this.cert = cert.input;
    this.key = key.input;
    return [...cert.parts, ...key.parts];
  }

  // change is what the profile's settings need to become; it is empty for none. It throws
  // a SyntaxError for a command that can't be read.
  change() {
    const change = {};
    const set = (key, value, before) => {
      if (JSON.stringify(value) !== JSON.stringify(before)) change[key] = value;
    };
    if (this.commandInput) {
      set("header_command", wordsOf(this.commandInput.value), this.data.header_command);
      set("header_command_for", this.commandFor.value.trim(), this.data.header_command_for ?? "");
    }
    if (this.cert) {
      set("client_cert", this.cert.value.trim(), this.data.client_cert ?? "");
      set("client_key", this.key.value.trim(), this.data.client_key ?? "");
    }
    const headers = this.given() ? undefined : this.typed();
    if (headers) change.gateway_headers = headers;
    return change;
  }

  // given are the headers for the request to sign in, in place of the kept ones; undefined
  // leaves those.
  given() {
    return this.removed || this.data.gateway_headers.length === 0 ? this.typed() : undefined;
  }

  // typed are the headers with a value; undefined for none, unless the kept ones are removed.
  typed() {
    const all = {};
    for (const { name, value } of this.rows) if (name.value.trim() && value.value) all[name.value.trim()] = value.value;
    if (this.user?.value) {
      const account = bytesOf(`${this.user.value}:${this.userPassword.value}`);
      all.Authorization = `Basic ${btoa(Array.from(account, (byte) => String.fromCharCode(byte)).join(""))}`;
    }
    return this.removed || Object.keys(all).length > 0 ? all : undefined;
  }

  // faulty is the input that lacks something, with words about it; undefined for none.
  faulty() {
    for (const { name, value, suggested } of this.rows) {
      if (name.value.trim() && !value.value && name.value !== suggested) return [value, "Type the header's value."];
      if (!name.value.trim() && value.value) return [name, "Type the header's name."];
    }
    if (this.user && !this.user.value && this.userPassword.value) return [this.user, "Type the user name for the web server."];
    try {
      this.change();
    } catch {
      return [this.commandInput, "A command that begins with [ is a JSON array of words."];
    }
    return undefined;
  }
}
