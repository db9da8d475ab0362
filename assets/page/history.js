// What happened: the recent events, and how each session was in the last days.

import { ask } from "./agent.js";
import { element, find, moment, write } from "./dom.js";

const days = 7;
const hour = 3_600_000;

// kinds are how a session was, in words for people.
const kinds = { in: "signed in", away: "away", needed: "needed you", out: "signed out", off: "Langkeep off", none: "not there" };

// span is a time in hours and days.
const span = (ms) => {
  const hours = Math.round(ms / hour);
  if (hours < 1) return `${Math.max(1, Math.round(ms / 60_000))} min`;
  return hours < 24 ? `${hours} h` : `${Math.floor(hours / 24)} d${hours % 24 ? ` ${hours % 24} h` : ""}`;
};

// timesOf are the segments of a card with their ends, within the last days.
function timesOf(segments) {
  const now = Date.now();
  const since = now - days * 24 * hour;
  return segments.map(({ from, kind }, i) => ({
    kind, from: Math.max(since, new Date(from).getTime()), to: i + 1 < segments.length ? new Date(segments[i + 1].from).getTime() : now,
  })).filter(({ from, to }) => to > from);
}

// Strip draws the last days of a session. Each kind has a shape of its own.
export class Strip {
  constructor() {
    this.bar = element("div", { className: "strip" });
    this.bar.setAttribute("role", "img");
    this.root = element("div", { className: "days" }, this.bar, element("span", {}, `${days} days`));
    this.root.lastChild.setAttribute("aria-hidden", "true");
  }

  update(segments) {
    const times = timesOf(segments);
    this.root.hidden = times.length === 0 || Date.now() - times[0].from < hour; // a new profile has none yet
    const shown = JSON.stringify(segments) + new Date().getHours();
    if (this.shown === shown || times.length === 0) return;
    this.shown = shown;
    const whole = days * 24 * hour;
    const first = { kind: "none", from: Date.now() - whole, to: times[0].from };
    this.bar.replaceChildren(...[first, ...times].filter(({ from, to }) => to > from).map(({ kind, from, to }) => {
      const part = element("span", { className: kind });
      part.style.flexGrow = (to - from) / whole;
      return part;
    }));
    const sums = new Map();
    for (const { kind, from, to } of times) if (kind !== "none") sums.set(kind, (sums.get(kind) ?? 0) + to - from);
    const text = `Last ${days} days: ${[...sums].map(([kind, ms]) => `${kinds[kind]} ${span(ms)}`).join(", ")}.`;
    this.bar.setAttribute("aria-label", text);
    this.root.title = text;
  }
}

// table tells a card's last days row by row, the newest first.
export function table(segments) {
  const rows = timesOf(segments).filter(({ kind }) => kind !== "none").reverse();
  const cell = (text) => element("td", {}, text);
  const head = element("tr", {}, ...["From", "For", "State"].map((text) => element("th", { scope: "col" }, text)));
  return element("details", { className: "front" }, element("summary", {}, `Last ${days} days`),
    element("table", {}, element("thead", {}, head), element("tbody", {}, ...rows.map(({ kind, from, to }) => element("tr", {},
      cell(moment(from)), cell(span(to - from)), cell(kinds[kind]))))));
}

// ---- Events

const clock = (at) => (at.toDateString() === new Date().toDateString()
  ? at.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", hourCycle: "h23" })
  : at.toLocaleDateString([], { day: "numeric", month: "short" }));

function show(list) {
  find("recent-none").hidden = list.length > 0;
  find("recent").replaceChildren(...list.map(({ at: text, profile, words, times }) => {
    const at = new Date(text);
    return element("li", {},
      element("time", { dateTime: text, title: at.toLocaleString() }, clock(at)),
      element("p", {}, element("b", {}, profile), ` ${times > 1 ? `${words.replace(/\.$/, "")}, ${times} times.` : words}`));
  }));
}

export const events = {
  all: [],

  // update takes the last events of all profiles.
  update(all, names) {
    this.all = all;
    const of = find("recent-of");
    const offered = [...new Set([...names, ...all.map(({ profile }) => profile)])].sort();
    if (of.dataset.offered !== offered.join()) {
      of.dataset.offered = offered.join();
      const chosen = of.value;
      of.replaceChildren(element("option", { value: "" }, "All profiles"), ...offered.map((name) => element("option", { value: name }, name)));
      of.value = offered.includes(chosen) ? chosen : "";
    }
    of.hidden = offered.length < 2;
    return this.filter();
  },

  // filter shows those of one profile: its last 30 days.
  async filter() {
    const name = find("recent-of").value;
    if (!name) {
      show(this.all);
      return;
    }
    try {
      const { events: own } = await ask("GET", `/v1/events/recent?${new URLSearchParams({ profile: name })}`);
      if (find("recent-of").value === name) show(own);
    } catch (problem) {
      find("recent").replaceChildren();
      write(find("recent-none"), problem.message);
      find("recent-none").hidden = false;
    }
  },
};

find("recent-of").onchange = () => events.filter();
