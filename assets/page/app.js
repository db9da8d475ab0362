// The control page: a view of what the agent streams, and forms that ask it for
// something. All words about a server come from the agent.

import { addForm } from "./add.js";
import { enter, follow, leave, send, view } from "./agent.js";
import { apps } from "./apps.js";
import { asking } from "./asking.js";
import { Card, many } from "./card.js";
import { cards } from "./cards.js";
import { announce, banner, find, sentence, write } from "./dom.js";
import { events } from "./history.js";
import { settings } from "./settings.js";

let about = null;
let isAway = false; // the agent doesn't answer

view.receive = {
  about(data) {
    about = data;
    write(find("lock"), data.locked ? "Unlock" : "Lock");
    showBanner();
  },
  card(data, present) {
    present.add(data.name);
    const card = cards.get(data.name);
    if (card) card.update(data);
    else cards.set(data.name, new Card(data));
    arrange();
    if (data.state === "fresh") settings.offer();
    const { opening } = addForm;
    if (opening?.name === data.name) {
      addForm.opening = null;
      cards.get(data.name).signIn(opening.offer);
    }
  },
  removed({ name }) {
    drop(name);
    arrange();
  },
  recent: (data) => events.update(data.events, cards.keys()),
  asking: (data) => {
    asking.update(data);
    arrange();
  },
  ready(_, present) {
    for (const name of [...cards.keys()]) if (!present.has(name)) drop(name);
    arrange(true);
    open();
    visit();
  },
};

// showBanner says what is unusual about the agent itself.
function showBanner() {
  if (isAway) return;
  const data = about;
  banner(data === null ? ""
    : data.locked ? "Langkeep hands nothing out until you unlock it. Sessions stay fresh."
      : data.config_error ? `A settings file has a mistake; the settings from before it hold. ${data.config_error}`
      : data.audit_error ? sentence(data.audit_error)
        : data.narrowed_clients.length > 0 ? `${data.narrowed_clients.join(", ")}: may run flows with inputs only by now. Apps has more.` : "");
}

// visit goes where the tray's menu sent the person.
function visit() {
  const [place, name] = view.wanted.split("/");
  view.wanted = "";
  if (place === "add") addForm.show();
  if (place === "sign-in") cards.get(name)?.signIn();
  if (place === "card" && cards.has(name)) {
    cards.get(name).open(true);
    cards.get(name).title.focus();
  }
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

let ready = false;

// rank is the place of a card: those that need a person first, then those in trouble, and
// last those that nobody is signed in to.
const rank = ({ data }) => {
  if (data.needs_you) return 0;
  return { stale: 1, retrying: 1, fresh: 2 }[data.state] ?? 3;
};

// arrange puts the cards in order, and says how all is.
function arrange(now) {
  ready ||= now === true;
  if (!ready) return;
  const sorted = [...cards.values()].sort((a, b) => rank(a) - rank(b) || (a.data.name < b.data.name ? -1 : 1));
  const list = find("cards");
  const focused = document.activeElement;
  sorted.forEach((card, i) => {
    card.asRow(sorted.length > many);
    if (list.children[i] !== card.root) list.insertBefore(card.root, list.children[i] ?? null);
  });
  if (focused !== document.activeElement && list.contains(focused)) focused.focus();
  search();

  const summary = summaryOf(sorted);
  write(find("summary"), summary);
  const waiting = sorted.filter((card) => card.data.needs_you).length;
  document.title = waiting ? `(${waiting}) Langkeep` : "Langkeep";

  const empty = sorted.length === 0;
  if (empty) addForm.show(false);
  else if (addForm.empty) addForm.hide();
  addForm.setEmpty(empty);
}

// summaryOf says how all is. "All is well" is said of nothing but signed-in profiles.
function summaryOf(all) {
  const some = (these, one, several) => (these.length === 1 ? `${these[0].data.name} ${one}.` : `${these.length} profiles ${several}.`);
  const of = (is) => all.filter(({ data }) => is(data));
  const waiting = of((data) => data.needs_you);
  const soon = of((data) => data.state === "retrying" && ["gateway", "command-failed"].includes(data.reason));
  const away = of((data) => ["stale", "retrying"].includes(data.state));
  const out = of((data) => data.state === "signed-out");
  if (asking.waits) return "A program waits for your answer.";
  if (waiting.length) return some(waiting, "needs you", "need you");
  if (soon.length) return some(soon, "needs you soon", "need you soon");
  if (away.length) return some(away, "is away", "are away");
  if (out.length && out.length === all.length) return "Not signed in.";
  if (out.length) return `${all.length - out.length} signed in, ${out.length} not.`;
  return all.length ? "All is well." : "";
}

// search shows the cards that have every word of what is looked for.
function search() {
  find("find").hidden = cards.size <= many;
  const words = find("find").hidden ? [] : find("search").value.toLowerCase().split(/\s+/).filter(Boolean);
  let shown = 0;
  for (const { data, root } of cards.values()) {
    const text = [data.name, data.server_url, data.username ?? "", data.label].join(" ").toLowerCase();
    root.hidden = !words.every((word) => text.includes(word));
    if (!root.hidden) shown++;
  }
  write(find("found"), words.length ? `${shown} of ${cards.size}` : "");
}

function open() {
  find("shut").hidden = true;
  find("content").hidden = false;
  find("lock").hidden = false;
  find("open-settings").hidden = false;
  find("open-apps").hidden = false;
  find("open-add").hidden = addForm.empty;
}

// away dims the page and takes its actions away while the agent doesn't answer: "now", "long"
// after a while, when nothing stays that was typed, and "" when it is back.
view.away = (how) => {
  if (!how && !isAway) return;
  isAway = how !== "";
  for (const id of ["cards", "add", "find", "asking", "offer", "toasts"]) find(id).inert = isAway; // for hands; a reader keeps the landmarks
  document.body.classList.toggle("away", isAway);
  for (const button of document.querySelectorAll(".top button")) button.disabled = isAway;
  if (how === "long") forget();
  if (isAway) banner("Langkeep doesn't answer. This page comes back by itself as soon as the same Langkeep does. If it was stopped, start it with langkeep open.");
  else showBanner();
};

// forget clears what was typed, and closes what is open.
function forget() {
  for (const input of document.querySelectorAll("input.field")) input.value = "";
  for (const dialog of document.querySelectorAll("dialog")) dialog.close();
  for (const card of cards.values()) card.close();
  addForm.hide();
}

// shut says that this page has no access, and how to get it. Nothing stays that
// was typed or shown, and nothing goes on.
view.shut = (why) => {
  leave();
  forget();
  view.away("");
  asking.clear();
  apps.clear();
  banner("");
  for (const card of cards.values()) card.root.remove();
  cards.clear();
  for (const id of ["recent", "recent-of", "default-profile", "toasts"]) find(id).replaceChildren();
  about = addForm.opening = null;
  ready = settings.asked = false;
  find("offer").hidden = true;
  document.title = "Langkeep";
  for (const id of ["content", "lock", "open-settings", "open-apps", "open-add"]) find(id).hidden = true;
  write(find("summary"), "");
  write(find("shut-why"), why);
  find("shut").hidden = false;
  find("shut-title").focus();
};

async function start() {
  if (!crypto.subtle) {
    view.shut("This browser is too old for it.");
    return;
  }
  if (await enter()) follow();
  else if (find("shut").hidden) view.shut("It shows your sessions to you alone, so it is opened with a code.");
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
find("open-apps").onclick = () => apps.show();
find("open-settings").onclick = () => settings.show(about);
find("settings").onchange = ({ target }) => settings.change(target);
find("search").oninput = search;
find("search").onkeydown = (event) => {
  if (event.key !== "Escape") return;
  find("search").value = "";
  search();
};
addEventListener("keydown", (event) => {
  if (event.key !== "/" || find("find").hidden || document.querySelector("dialog[open]") || event.target.closest("input, textarea, select")) return;
  event.preventDefault();
  find("search").focus();
});
addEventListener("hashchange", start);
start();
