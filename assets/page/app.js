// The control page: a view of what the agent streams, and forms that ask it for
// something. All words about a server come from the agent.

// element makes an element; children are text or elements, never markup.
function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children.filter((child) => child !== null));
  return made;
}

const find = (id) => document.getElementById(id);

// write changes a text only where it differs, so that nothing is read out twice.
function write(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

const sentence = (text) => text && text[0].toUpperCase() + text.slice(1) + (/[.?!]$/.test(text) ? "" : ".");

// ---- The agent

// A program that takes the agent's port after its end must get nothing, and a page has
// no say in which connection carries which request. So each request and each answer is sealed
// with a secret that the page and the agent alone have: the hash of the code, or
// of the token that the code was exchanged for. See localapi/proof.

const tokenKey = "langkeep-page-token";

// patience is how long the agent may leave the page without proof, in ms.
const patience = 10_000;

// Problem is what the agent, or the way to it, refused a request with.
class Problem extends Error {
  constructor(body) {
    super(body.words || sentence(body.detail || body.title || "It did not work"));
    Object.assign(this, { kind: (body.type || "").split("/").pop(), reason: body.reason, movedTo: body.moved_to });
  }
}

const noAnswer = () => new Problem({ words: "Langkeep doesn't answer. Is it still running?" });

// unproven is an answer that the agent did not give, or not to this page.
const unproven = () => new Problem({ type: "unproven", words: "What answered did not prove to be Langkeep." });

const bytesOf = (text) => new TextEncoder().encode(text);
const joined = (...parts) => new Uint8Array(parts.flatMap((part) => [...part]));
const digest = async (bytes) => new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
const toBase64 = (bytes) => btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""))
  .replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
const fromBase64 = (text) => Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (c) => c.charCodeAt(0));

// secretOf is a code's or a token's: its name, and the keys that come of it.
async function secretOf(token) {
  const hash = await digest(bytesOf(token));
  const id = toBase64((await digest(joined(bytesOf("langkeep-key-id"), hash))).slice(0, 16));
  const root = await crypto.subtle.importKey("raw", hash, "HKDF", false, ["deriveKey"]);
  const key = (use, salt) => crypto.subtle.deriveKey(
    { name: "HKDF", hash: "SHA-256", salt, info: bytesOf(use) }, root, { name: "AES-GCM", length: 256 }, false, ["encrypt", "decrypt"]);
  return { id, key };
}

let life = new AbortController(); // of the page's access: it ends what is under way

// sealed sends a request that the holder of the token or code alone can read, and
// returns the answer's status and its pieces of text, which nobody else can give.
async function sealed(token, request, signal) {
  const { id, key } = await secretOf(token);
  const salt = crypto.getRandomValues(new Uint8Array(16));
  const text = await crypto.subtle.encrypt(
    { name: "AES-GCM", iv: new Uint8Array(12) }, await key("langkeep-page-request", salt), bytesOf(JSON.stringify(request)));
  const ends = AbortSignal.any(signal ? [life.signal, signal] : [life.signal]);
  let response;
  try {
    response = await fetch("/v1/page/sealed", {
      method: "POST", headers: { "Content-Type": "application/json" }, signal: ends,
      body: JSON.stringify({ key: id, salt: toBase64(salt), sealed: toBase64(new Uint8Array(text)) }),
      credentials: "omit", cache: "no-store", redirect: "manual", referrerPolicy: "no-referrer",
    });
  } catch (failure) {
    if (ends.aborted) throw failure;
    throw noAnswer();
  }
  if (response.status !== 200) throw unproven();
  const pieces = unsealed(response.body, (own) => key("langkeep-page-answer", joined(salt, own)), ends);
  const head = await pieces.next();
  if (head.done) throw unproven();
  return { status: JSON.parse(head.value).status, pieces };
}

// unsealed reads an answer, a line each for the salt and the pieces.
async function* unsealed(body, keyOf, ends) {
  let key = null;
  let count = 0;
  for await (const line of lines(body, ends)) {
    let text;
    const last = line[0] === ".";
    try {
      if (key === null) {
        key = await keyOf(fromBase64(line));
        continue;
      }
      const iv = new DataView(new ArrayBuffer(12));
      iv.setUint8(0, last ? 1 : 0);
      iv.setBigUint64(4, BigInt(count++));
      text = new TextDecoder().decode(await crypto.subtle.decrypt({ name: "AES-GCM", iv }, key, fromBase64(line.slice(1))));
    } catch {
      throw unproven();
    }
    yield text;
    if (last) return;
  }
  throw noAnswer(); // it was cut off
}

async function* lines(body, ends) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let held = "";
  for (;;) {
    let part;
    try {
      part = await reader.read();
    } catch (failure) {
      if (ends.aborted) throw failure;
      throw noAnswer();
    }
    if (part.done) return;
    const whole = (held + part.value).split("\n");
    held = whole.pop();
    yield* whole;
  }
}

const whole = async (pieces) => {
  let text = "";
  for await (const piece of pieces) text += piece;
  return text;
};

// request asks the agent as this page. An answer without proof ends the page.
async function request(method, path, body, signal) {
  const token = sessionStorage.getItem(tokenKey);
  try {
    if (token === null) throw unproven();
    const answer = await sealed(token, { method, path, ...(body && { body }) }, signal);
    if (answer.status < 300) return answer;
    throw new Problem(JSON.parse(await whole(answer.pieces)));
  } catch (problem) {
    if (problem.kind === "unproven") {
      shut("This page's access has ended: it lasts 12 hours, or until Langkeep ends. What answers at its address now has not proved to be the Langkeep that it belongs to, and was told nothing. Close this tab.");
    }
    throw problem;
  }
}

const send = async (method, path, body, options = {}) => whole((await request(method, path, body, options.signal)).pieces);

const ask = async (method, path, body, options) => JSON.parse(await send(method, path, body, options));

const pathOf = (name, action = "") => `/v1/profiles/${encodeURIComponent(name)}${action}`;

// enter exchanges the code in the address, which is taken out of it at once, for
// the page's token. It returns whether there is a token.
async function enter() {
  const code = /^#code=([\w-]+)(?:&at=([\w./-]+))?$/.exec(location.hash);
  if (location.hash) history.replaceState(null, "", "/");
  wanted = code?.[2] ?? "";
  if (!code) return sessionStorage.getItem(tokenKey) !== null;
  try {
    const { status, pieces } = await sealed(code[1], {});
    if (status !== 200) throw unproven(); // of this code
    sessionStorage.setItem(tokenKey, JSON.parse(await whole(pieces)).token);
  } catch (problem) {
    if (sessionStorage.getItem(tokenKey) === null) {
      shut(problem.kind === "unproven" ? "The link that opened it works once, and for 30 seconds." : problem.message);
      return false;
    }
  }
  return true;
}

let following = null; // the stream's AbortController

async function follow() {
  following?.abort();
  const control = following = new AbortController();
  let limit = 0; // while there is no proof that the agent is there
  const reachable = (is) => { // for hands; a reader keeps the page's landmarks
    for (const id of ["cards", "add"]) find(id).inert = !is;
  };
  const unheard = () => {
    reachable(false);
    limit ||= setTimeout(() => shut("Langkeep doesn't answer any more, so this page's access has ended. Close this tab: whatever may answer at its address later has not proved to be Langkeep."), patience);
  };
  const heard = () => {
    reachable(true);
    clearTimeout(limit);
    limit = 0;
  };
  control.signal.onabort = heard;
  for (let pause = 500; !control.signal.aborted; pause *= 2) {
    unheard();
    try {
      const { pieces } = await request("GET", "/v1/page/events", null, control.signal);
      const present = new Set();
      for await (const { kind, data } of events(pieces)) {
        if (control.signal.aborted) return;
        heard();
        pause = 500;
        receive[kind]?.(data, present);
      }
    } catch {
      // Whether it ends the page was decided by request; else it is tried again.
    }
    if (control.signal.aborted) return;
    unheard();
    banner("Langkeep doesn't answer. This page goes on once the same Langkeep does, and else closes itself.");
    await new Promise((resume) => setTimeout(resume, pause));
  }
}

// events reads server-sent events, as the agent writes them.
async function* events(pieces) {
  let held = "";
  for await (const piece of pieces) {
    const blocks = (held + piece).split("\n\n");
    held = blocks.pop();
    for (const block of blocks) {
      const parts = /^event: (.+)\ndata: (.+)$/.exec(block);
      if (parts) yield { kind: parts[1], data: JSON.parse(parts[2]) };
    }
  }
}

// ---- What is shown

const cards = new Map(); // by name
let about = null;
let wanted = ""; // where the link that opened the page leads, see visit
let opening = null; // the profile that was just added, whose sign-in is to open

const receive = {
  about(data) {
    about = data;
    write(find("lock"), data.locked ? "Unlock" : "Lock");
    banner(data.locked ? "Langkeep hands nothing out until you unlock it. Sessions stay fresh."
      : data.config_error ? `A settings file has a mistake; the settings from before it hold. ${data.config_error}`
      : data.audit_error ? sentence(data.audit_error)
        : data.narrowed_clients.length > 0 ? `${data.narrowed_clients.join(", ")}: may run flows with inputs only by now. Programs has more.` : "");
  },
  card(data, present) {
    present.add(data.name);
    const card = cards.get(data.name);
    if (card) card.update(data);
    else cards.set(data.name, new Card(data));
    arrange();
    if (opening?.name === data.name) {
      cards.get(data.name).signIn(opening.offer);
      opening = null;
    }
  },
  removed({ name }) {
    drop(name);
    arrange();
  },
  recent: ({ events }) => showRecent(events),
  ready(_, present) {
    for (const name of [...cards.keys()]) if (!present.has(name)) drop(name);
    arrange(true);
    open();
    visit();
  },
};

// visit goes where the tray's menu sent the person.
function visit() {
  const [place, name] = wanted.split("/");
  wanted = "";
  if (place === "add") addForm.show();
  if (place === "sign-in") cards.get(name)?.signIn();
  if (place === "card") cards.get(name)?.title.focus();
}

function drop(name) {
  const card = cards.get(name);
  if (!card) return;
  cards.delete(name);
  const focused = card.root.contains(document.activeElement);
  card.root.remove();
  announce(`${name}: Removed.`);
  if (focused) find("open-add").focus();
}

function banner(text) {
  write(find("banner"), text);
  find("banner").hidden = !text;
}

// announce tells a screen reader what others see.
const announce = (text) => { find("live").textContent = text; };

let ready = false;

// arrange puts the cards that need a person first, and says how all is.
function arrange(now) {
  ready ||= now === true;
  if (!ready) return;
  const rank = ({ data }) => (data.needs_you ? 0 : data.state === "signed-out" ? 1 : 2);
  const sorted = [...cards.values()].sort((a, b) => rank(a) - rank(b) || (a.data.name < b.data.name ? -1 : 1));
  const list = find("cards");
  const focused = document.activeElement;
  sorted.forEach(({ root }, i) => {
    if (list.children[i] !== root) list.insertBefore(root, list.children[i] ?? null);
  });
  if (focused !== document.activeElement && list.contains(focused)) focused.focus();

  const waiting = sorted.filter((card) => card.data.needs_you);
  const soon = sorted.filter((card) => card.data.state === "retrying" && ["gateway", "command-failed"].includes(card.data.reason));
  const away = sorted.filter((card) => ["stale", "retrying"].includes(card.data.state) && !soon.includes(card));
  const out = sorted.filter((card) => card.data.state === "signed-out");
  let summary = "";
  if (waiting.length === 1) summary = `${waiting[0].data.name} needs you.`;
  else if (waiting.length) summary = `${waiting.length} servers need you.`;
  else if (soon.length) summary = soon.length === 1 ? `${soon[0].data.name} needs you soon.` : `${soon.length} servers need you soon.`;
  else if (away.length) summary = away.length === 1 ? `${away[0].data.name} is away.` : `${away.length} servers are away.`;
  else if (out.length && out.length === sorted.length) summary = "Not signed in.";
  else if (sorted.length) summary = "All is well.";
  write(find("summary"), summary);
  document.title = waiting.length ? `(${waiting.length}) Langkeep` : "Langkeep";

  const empty = sorted.length === 0;
  if (empty) addForm.show(false);
  else if (addForm.empty) addForm.hide();
  addForm.setEmpty(empty);
}

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

function showRecent(list) {
  find("recent-none").hidden = list.length > 0;
  const today = new Date().toDateString();
  find("recent").replaceChildren(...list.map((event) => {
    const at = new Date(event.at);
    const clock = at.toDateString() === today
      ? at.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", hourCycle: "h23" })
      : at.toLocaleDateString([], { day: "numeric", month: "short" });
    const words = event.times > 1 ? `${event.words.replace(/\.$/, "")}, ${event.times} times.` : event.words;
    return element("li", {},
      element("time", { dateTime: event.at, title: at.toLocaleString() }, clock),
      element("p", {}, element("b", {}, event.profile), ` ${words}`));
  }));
}

// ---- Buttons and forms

// during runs work that a button started, which can't be started twice.
async function during(button, words, work) {
  if (button.getAttribute("aria-disabled") === "true") return;
  const before = button.textContent;
  button.setAttribute("aria-disabled", "true");
  button.textContent = words;
  try {
    return await work();
  } finally {
    button.removeAttribute("aria-disabled");
    button.textContent = before;
  }
}

let made = 0;
const uniqueId = (kind) => `${kind}-${++made}`;

// field is a label, its input, and a hint.
function field(label, properties, hint) {
  const id = uniqueId("field");
  const input = element("input", { id, className: "field half", spellcheck: false, autocapitalize: "none", ...properties });
  const parts = [element("label", { htmlFor: id }, label), input];
  if (hint) {
    const hintId = uniqueId("hint");
    input.setAttribute("aria-describedby", hintId);
    parts.push(element("p", { id: hintId, className: "hint" }, hint));
  }
  return { input, parts };
}

// remedy offers what can be done, right here, about a problem of a server's
// address; apply gets the change.
function remedy(problem, apply, caFile = "") {
  const act = (words, change, style = "button") => {
    const button = element("button", { type: "button", className: style }, words);
    button.onclick = () => during(button, "Trying…", () => apply(change()));
    return button;
  };
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

const methods = {
  "password": "User name and password",
  "auto-login": "Without a password (auto login)",
  "refresh-token": "Refresh token",
  "api-key": "API key",
  "external": "Token of an identity provider",
};

// ---- In front of the server

// wordsOf splits a command at its spaces, or reads a JSON array of words.
function wordsOf(text) {
  if (!text.trim().startsWith("[")) return text.split(/\s+/).filter(Boolean);
  const words = JSON.parse(text);
  if (!Array.isArray(words) || words.some((word) => typeof word !== "string")) throw new SyntaxError("no array of words");
  return words;
}

// commandOf is the reverse of wordsOf.
function commandOf(words) {
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
class Front {
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
      const more = element("button", { type: "button", className: "button plain" }, "Other ways through");
      more.onclick = () => {
        const added = later.flatMap((name) => parts[name]());
        more.replaceWith(...added);
        added.flatMap((node) => [...(node.matches("input") ? [node] : node.querySelectorAll("input"))])[0].focus();
      };
      body.append(more);
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
      const remove = element("button", { type: "button", className: "button" }, "Remove");
      remove.setAttribute("aria-label", "Remove the kept headers");
      const line = element("p", {}, "Kept: ", element("b", {}, kept.join(", ")), ".");
      const item = element("div", { className: "kept" }, line, remove);
      remove.onclick = () => {
        this.removed = true;
        item.replaceChildren(element("p", { tabIndex: -1 }, "The kept headers are removed when you sign in."));
        item.firstChild.focus();
      };
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
    const another = element("button", { type: "button", className: "button plain" }, "Another header");
    another.onclick = () => add().focus();
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

// ---- A card

class Card {
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

// ---- Add a server

const addForm = {
  offer: null,    // of the address that is there now
  change: {},     // settings that it needs
  asking: null,   // AbortController
  timer: 0,
  empty: false,

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
    write(find("add-title"), empty ? "Welcome" : "Add a server");
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
    find("add-name").value = this.offer.name;
    this.named();
    find("add-found").hidden = false;
    find("add-submit").hidden = false;
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
      try {
        await ask("POST", "/v1/profiles", { ...change, name, server_url: offer.server_url });
        this.hide();
        const card = cards.get(name);
        if (card) card.signIn(offer);
        else opening = { name, offer };
      } catch (problem) {
        write(find("add-error"), problem.message);
        find("add-name").focus();
      }
    });
  },
};

// ---- Programs

// moment is a time in the person's own zone.
const moment = (at) => new Date(at).toLocaleString([], { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", hourCycle: "h23" });

// revocable is a line of a list with a button that takes it away, after a second
// press. then has the focus after that.
function revocable(name, about, error, revoke, then) {
  const button = element("button", { type: "button", className: "button" }, "Revoke");
  button.setAttribute("aria-label", `Revoke ${name}`);
  let sure = false;
  button.onblur = () => {
    if (button.getAttribute("aria-disabled") === "true") return;
    sure = false;
    write(button, "Revoke");
  };
  button.onclick = () => {
    if (!sure) {
      sure = true;
      write(button, "Revoke now?");
      return undefined;
    }
    return during(button, "Revoking…", async () => {
      write(error, "");
      try {
        await revoke();
        then.focus();
      } catch (problem) {
        write(error, problem.message);
      }
    });
  };
  return element("li", {}, element("p", {}, element("b", {}, name), " ", ...about), button);
}

const programs = {
  async show() {
    const dialog = find("programs");
    write(find("programs-error"), "");
    if (!dialog.open) dialog.showModal();
    try {
      await this.load();
    } catch (problem) {
      write(find("programs-error"), problem.message);
    }
  },

  async load() {
    const { clients } = await ask("GET", "/v1/clients");
    find("programs-none").hidden = clients.length > 0;
    find("programs-list").replaceChildren(...clients.map((client) => {
      const ends = !client.expires_at ? "Ends with its program."
        : new Date(client.expires_at) < new Date() ? "Has ended." : `Ends ${moment(client.expires_at)}.`;
      const lost = client.narrowed ? " Tweaks and uploads need the scope tweak: if it uses them, add it again with that." : "";
      return revocable(client.name, [`may ${client.may}: ${client.profiles.join(", ")}. ${ends}${lost}`], find("programs-error"), async () => {
        await send("DELETE", `/v1/clients/${encodeURIComponent(client.name)}`);
        await this.load();
      }, find("programs").querySelector("[type=submit]"));
    }));
    if (clients.some((client) => client.narrowed)) await send("PATCH", "/v1/clients", { seen: true });
  },
};

// ---- Tools

const tools = {
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

// ---- Settings

const settings = {
  async show() {
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

// ---- Start

function open() {
  find("shut").hidden = true;
  find("content").hidden = false;
  find("lock").hidden = false;
  find("open-settings").hidden = false;
  find("open-programs").hidden = false;
  find("open-tools").hidden = false;
  find("open-add").hidden = addForm.empty;
}

// shut says that this page has no access, and how to get it. Nothing stays that
// was typed or shown, and nothing goes on.
function shut(why) {
  following?.abort();
  life.abort();
  life = new AbortController();
  sessionStorage.removeItem(tokenKey);
  for (const input of document.querySelectorAll("input.field")) input.value = "";
  find("settings").close();
  find("programs").close();
  find("tools").close();
  find("tools-snippet").value = "";
  addForm.hide();
  banner("");
  for (const card of cards.values()) card.root.remove();
  cards.clear();
  for (const id of ["recent", "programs-list", "tools-list", "tools-profile", "default-profile"]) find(id).replaceChildren();
  about = opening = null;
  ready = false;
  document.title = "Langkeep";
  for (const id of ["content", "lock", "open-settings", "open-programs", "open-tools", "open-add"]) find(id).hidden = true;
  write(find("summary"), "");
  write(find("shut-why"), why);
  find("shut").hidden = false;
  find("shut-title").focus();
}

async function start() {
  if (!crypto.subtle) {
    shut("This browser is too old for it.");
    return;
  }
  if (await enter()) follow();
  else if (find("shut").hidden) shut("It shows your sessions to you alone, so it is opened with a code.");
}

find("open-add").onclick = () => (find("add").hidden ? addForm.show() : addForm.hide());
find("add-cancel").onclick = () => addForm.hide();
find("add-url").oninput = () => addForm.typed(600);
find("add-name").oninput = () => addForm.named();
find("add-form").onsubmit = (event) => {
  event.preventDefault();
  addForm.submit();
};
find("add").onkeydown = (event) => { if (event.key === "Escape" && !addForm.empty) addForm.hide(); };
find("lock").onclick = async () => {
  try {
    await send("POST", about.locked ? "/v1/unlock" : "/v1/lock");
  } catch (problem) {
    banner(problem.message);
  }
};
find("open-programs").onclick = () => programs.show();
find("open-tools").onclick = () => tools.show();
for (const id of ["tools-profile", "tools-project", "tools-builder"]) find(id).onchange = () => tools.load();
find("tools-project").onkeydown = (event) => {
  if (event.key !== "Enter") return; // it would close the dialog
  event.preventDefault();
  tools.load();
};
find("tools-copy").onclick = () => tools.copy();
find("tools-done").onclick = () => find("tools").close();
find("open-settings").onclick = () => settings.show();
find("settings").onchange = ({ target }) => settings.change(target);
addEventListener("hashchange", start);
start();
