// How the page asks the agent.

import { sentence } from "./dom.js";

// A program that takes the agent's port after its end must get nothing, and a page has
// no say in which connection carries which request. So each request and each answer is sealed
// with a secret that the page and the agent alone have: the hash of the code, or
// of the token that the code was exchanged for. See localapi/proof.

const tokenKey = "langkeep-page-token";

// access is the page's token. sessionStorage keeps it over a reload, but not while the agent
// doesn't answer: a program that takes its port then would be given it with the next page.
let access = sessionStorage.getItem(tokenKey);

// How long, in ms, the agent may leave the page without proof before the page clears what
// was typed; and how long its stream may be silent, which has a line each 15 s.
const patience = 10_000;
const silence = 40_000;

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

export const bytesOf = (text) => new TextEncoder().encode(text);
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

let spoken = null; // the token of a page that speaks for the person; only here, since browsers keep sessionStorage on the disk

// speak has the page ask with a token that speaks for the person from now on.
export const speak = (token) => { spoken = token; };

// request asks the agent as this page. An answer without proof ends the page.
async function request(method, path, body, signal) {
  const token = spoken ?? access;
  try {
    if (token === null) throw unproven();
    const answer = await sealed(token, { method, path, ...(body && { body }) }, signal);
    if (answer.status < 300) return answer;
    throw new Problem(JSON.parse(await whole(answer.pieces)));
  } catch (problem) {
    if (problem.kind === "unproven") {
      view.shut("This page's access has ended: it lasts 12 hours, or until Langkeep ends. What answers at its address now has not proved to be the Langkeep that it belongs to, and was told nothing. Close this tab.");
    }
    throw problem;
  }
}

export const send = async (method, path, body, options = {}) => whole((await request(method, path, body, options.signal)).pieces);

export const ask = async (method, path, body, options) => JSON.parse(await send(method, path, body, options));

export const pathOf = (name, action = "") => `/v1/profiles/${encodeURIComponent(name)}${action}`;

// enter exchanges the code in the address, which is taken out of it at once, for
// the page's token. It returns whether there is a token.
export async function enter() {
  const code = /^#code=([\w-]+)(?:&at=([\w./-]+))?$/.exec(location.hash);
  if (location.hash) history.replaceState(null, "", "/");
  view.wanted = code?.[2] ?? "";
  if (!code) return access !== null;
  try {
    const { status, pieces } = await sealed(code[1], {});
    if (status !== 200) throw unproven(); // of this code
    access = JSON.parse(await whole(pieces)).token;
    sessionStorage.setItem(tokenKey, access);
  } catch (problem) {
    if (access === null) {
      view.shut(problem.kind === "unproven" ? "The link that opened it works once, and for 30 seconds." : problem.message);
      return false;
    }
  }
  return true;
}

// What the page shows of the agent: receive has a function for each kind of event, away dims
// it while the agent doesn't answer, and shut ends it.
export const view = { receive: {}, away() {}, shut() {}, wanted: "" };

let following = null; // the stream's AbortController

// follow shows what the agent streams. Without an answer the page waits for one that is
// proved: only the same agent has the key. Another one's ends the page, see request.
export async function follow() {
  following?.abort();
  const control = following = new AbortController();
  let limit = 0; // while there is no proof that the agent is there
  let watch = 0; // for a stream that falls silent
  const unheard = () => {
    limit ||= setTimeout(() => {
      sessionStorage.removeItem(tokenKey);
      view.away("long");
    }, patience);
  };
  const heard = () => {
    clearTimeout(limit);
    limit = 0;
    if (access !== null) sessionStorage.setItem(tokenKey, access);
    view.away("");
  };
  control.signal.addEventListener("abort", () => [limit, watch].forEach(clearTimeout));
  for (let pause = 500; !control.signal.aborted; pause = Math.min(pause * 2, 5000)) {
    unheard();
    const stream = new AbortController();
    const listen = () => {
      clearTimeout(watch);
      watch = setTimeout(() => stream.abort(), silence);
    };
    try {
      listen();
      const { pieces } = await request("GET", "/v1/page/events", null, AbortSignal.any([control.signal, stream.signal]));
      const present = new Set();
      for await (const { kind, data } of events(pieces, listen)) {
        if (control.signal.aborted) return;
        heard();
        pause = 500;
        view.receive[kind]?.(data, present);
      }
    } catch {
      // Whether it ends the page was decided by request; else it is tried again.
    }
    if (control.signal.aborted) return;
    unheard();
    view.away("now");
    await new Promise((resume) => setTimeout(resume, pause));
  }
}

// events reads server-sent events, as the agent writes them.
async function* events(pieces, listen) {
  let held = "";
  for await (const piece of pieces) {
    listen();
    const blocks = (held + piece).split("\n\n");
    held = blocks.pop();
    for (const block of blocks) {
      const parts = /^event: (.+)\ndata: (.+)$/.exec(block);
      if (parts) yield { kind: parts[1], data: JSON.parse(parts[2]) };
    }
  }
}

// leave ends all that the page has under way, and forgets its token.
export function leave() {
  following?.abort();
  life.abort();
  life = new AbortController();
  access = spoken = null;
  sessionStorage.removeItem(tokenKey);
}
