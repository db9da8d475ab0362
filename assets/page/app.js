// The control page: a view of what the agent streams, and forms that ask it for
// something. All words about a server come from the agent.

import { addForm } from "./add.js";
import { enter, follow, leave, send, view } from "./agent.js";
import { Card, cards } from "./card.js";
import { announce, banner, element, find, sentence, write } from "./dom.js";
import { programs } from "./programs.js";
import { settings } from "./settings.js";
import { tools } from "./tools.js";

let about = null;

view.receive = {
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
  const [place, name] = view.wanted.split("/");
  view.wanted = "";
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
view.shut = (why) => {
  leave();
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
  about = addForm.opening = null;
  ready = false;
  document.title = "Langkeep";
  for (const id of ["content", "lock", "open-settings", "open-programs", "open-tools", "open-add"]) find(id).hidden = true;
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
find("open-settings").onclick = () => settings.show(about);
find("settings").onchange = ({ target }) => settings.change(target);
addEventListener("hashchange", start);
start();
