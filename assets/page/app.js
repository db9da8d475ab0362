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
    banner(data.config_error ? `A settings file has a mistake; the settings from before it hold. ${data.config_error}`
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
  const away = sorted.filter((card) => ["stale", "retrying"].includes(card.data.state));
  const out = sorted.filter((card) => card.data.state === "signed-out");
  let summary = "";
  if (waiting.length === 1) summary = `${waiting[0].data.name} needs you.`;
  else if (waiting.length) summary = `${waiting.length} servers need you.`;
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
};

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
      ["Proxy", data.proxy_url ?? "–"]].filter(([, value]) => value !== "–");
    this.facts.hidden = facts.length === 0;
    const shown = facts.map((fact) => fact[0]).join();
    if (this.shownFacts !== shown) {
      this.shownFacts = shown;
      this.facts.replaceChildren(...facts.map(([name]) => element("div", {}, element("dt", {}, name), element("dd"))));
    }
    facts.forEach(([, value], i) => write(this.facts.children[i].lastChild, value));

    if (before?.state !== data.state || before.proxy_url !== data.proxy_url) this.offer();
    if (before?.state !== data.state) {
      write(this.error, "");
      if (!first) announce(`${data.name}: ${data.long}`);
      if (data.state === "fresh" && this.panel.dataset.kind === "sign-in") this.close();
    }
  }

  // offer makes the buttons that go with the state.
  offer() {
    const { name, state, server_url: url } = this.data;
    const button = (words, act, style = "") => {
      const made = element("button", { type: "button", className: `button ${style}` }, words);
      made.setAttribute("aria-label", `${words} ${name}`);
      made.onclick = () => act(made);
      return made;
    };
    const now = (words, busy) => button(words, (made) => this.run(made, busy, "POST", "/refresh"), state === "keychain-locked" ? "primary" : "");
    const signIn = button("Sign in", () => this.signIn(), "primary");
    const signOut = button("Sign out", (made) => this.run(made, "Signing out…", "POST", "/logout"));
    const keys = button("API keys", () => this.showKeys());
    const proxy = this.data.proxy_url
      ? button("Close the proxy", (made) => this.run(made, "Closing…", "PATCH", "", { proxy: false }))
      : button("Open the proxy", (made) => this.run(made, "Opening…", "PATCH", "", { proxy: true }));
    const link = element("a", { className: "button", href: url, target: "_blank", rel: "noopener noreferrer" }, "Open Langflow");
    link.setAttribute("aria-label", `Open Langflow of ${name} in a new tab`);
    const offered = {
      "fresh": () => [link, now("Refresh now", "Refreshing…"), keys, proxy, signOut],
      "retrying": () => [now("Try now", "Trying…"), keys, proxy, signOut],
      "stale": () => [now("Try now", "Trying…"), proxy, signOut],
      "sign-in-required": () => [signIn],
      "keychain-locked": () => [now("Unlock", "Unlocking…")],
    }[state] ?? (() => [signIn]);
    const remove = button("Remove", () => this.confirmRemoval(), "plain last");
    const focused = this.actions.contains(document.activeElement);
    this.actions.replaceChildren(...offered(), remove);
    if (focused) this.actions.firstChild.focus();
  }

  // run asks for a change of this profile, and shows here what came of it.
  run(button, busy, method, action, body) {
    write(this.error, "");
    return during(button, busy, async () => {
      try {
        await ask(method, pathOf(this.data.name, action), body); // the stream tells what came of it
      } catch (problem) {
        write(this.error, problem.message);
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
    const choice = element("fieldset", {}, element("legend", {}, "Sign in with"));
    for (const method of offer.methods) {
      const radio = element("input", { type: "radio", name: group, value: method, checked: method === preferred });
      radio.onchange = () => show(method);
      choice.append(element("label", { className: "check" }, radio, methods[method] ?? method));
    }
    const fields = element("div", { className: "fields" });
    const error = element("p", { className: "error", id: uniqueId("error") });
    error.setAttribute("role", "alert");
    const submit = element("button", { type: "submit", className: "button primary" }, "Sign in");
    const cancel = element("button", { type: "button", className: "button plain" }, "Cancel");
    cancel.onclick = () => this.close();
    const form = element("form", { noValidate: true }, choice, fields, error, element("div", { className: "actions" }, submit, cancel));
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
        case "auto-login":
          parts.push(element("p", { className: "hint" }, "This server needs no password: there is nothing to type."));
      }
      fields.replaceChildren(...parts);
      write(error, "");
    };

    form.onsubmit = (event) => {
      event.preventDefault();
      write(error, "");
      const body = { method };
      for (const [key, input] of Object.entries(inputs)) {
        input.removeAttribute("aria-invalid");
        if (input.type === "checkbox") {
          if (input.checked) body[key] = true;
        } else if (input.value === "") {
          input.setAttribute("aria-invalid", "true");
          write(error, { username: "Type your user name.", password: "Type your password.", refresh_token: "Paste the refresh token.", api_key: "Paste the API key." }[key]);
          input.focus();
          return;
        } else {
          body[key] = input.value;
        }
      }
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
    (first ?? submit).focus();
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
    this.say(`Langflow ${this.offer.version} answers there. ${accepted}`, "good");
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
  find("open-settings").hidden = false;
  find("open-programs").hidden = false;
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
  addForm.hide();
  banner("");
  for (const card of cards.values()) card.root.remove();
  cards.clear();
  for (const id of ["recent", "programs-list", "default-profile"]) find(id).replaceChildren();
  about = opening = null;
  ready = false;
  document.title = "Langkeep";
  for (const id of ["content", "open-settings", "open-programs", "open-add"]) find(id).hidden = true;
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
find("open-programs").onclick = () => programs.show();
find("open-settings").onclick = () => settings.show();
find("settings").onchange = ({ target }) => settings.change(target);
addEventListener("hashchange", start);
start();
