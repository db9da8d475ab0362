// What every part of the page draws and asks with.

// element makes an element; children are text or elements, never markup.
export function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children.filter((child) => child !== null));
  return made;
}

export const find = (id) => document.getElementById(id);

// write changes a text only where it differs, so that nothing is read out twice.
export function write(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

export const sentence = (text) => text && text[0].toUpperCase() + text.slice(1) + (/[.?!]$/.test(text) ? "" : ".");

export function banner(text) {
  write(find("banner"), text);
  find("banner").hidden = !text;
}

// announce tells a screen reader what others see.
export const announce = (text) => { find("live").textContent = text; };

// during runs work that a button started, which can't be started twice.
export async function during(button, words, work) {
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

// attempt does some work, and writes into error what it throws.
export async function attempt(error, work) {
  write(error, "");
  try {
    return await work();
  } catch (problem) {
    write(error, problem.message);
    return undefined;
  }
}

// button is a button with words; act gets it when it is pressed. label is for screen readers,
// in place of the words.
export function button(words, act, { style = "", label, type = "button" } = {}) {
  const made = element("button", { type, className: `button ${style}`.trim() }, words);
  if (label) made.setAttribute("aria-label", label);
  if (act) made.onclick = () => act(made);
  return made;
}

export const actions = (...buttons) => element("div", { className: "actions" }, ...buttons);

let made = 0;
export const uniqueId = (kind) => `${kind}-${++made}`;

// field is a label, its input, and a hint.
export function field(label, properties, hint) {
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

// moment is a time in the person's own zone.
export const moment = (at) => new Date(at).toLocaleString([], { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", hourCycle: "h23" });

// revocable is a line of a list with a button that takes it away, after a second
// press. then has the focus after that.
export function revocable(name, about, error, revoke, then) {
  let sure = false;
  const made = button("Revoke", () => {
    if (!sure) {
      sure = true;
      write(made, "Revoke now?");
      return undefined;
    }
    return during(made, "Revoking…", () => attempt(error, async () => {
      await revoke();
      then.focus();
    }));
  }, { label: `Revoke ${name}` });
  made.onblur = () => {
    if (made.getAttribute("aria-disabled") === "true") return;
    sure = false;
    write(made, "Revoke");
  };
  return element("li", {}, element("p", {}, element("b", {}, name), " ", ...about), made);
}

// ---- Drawings, menus, toasts

const icons = {
  chevron: "M4 6l4 4 4-4",
  more: "M3 8h.01M8 8h.01M13 8h.01",
};

// svg is a drawing of parts, each a tag with its attributes, 16 wide.
export function svg(style, ...parts) {
  const made = (tag, attributes) => {
    const part = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [key, value] of Object.entries(attributes)) part.setAttribute(key, value);
    return part;
  };
  const root = made("svg", { viewBox: "0 0 16 16", "aria-hidden": "true", class: style });
  root.append(...parts.map((part) => made(...part)));
  return root;
}

export const icon = (name) => svg(`icon ${name}`, ["path", { d: icons[name] }]);

// menu is a button with a menu below it. items are [words, act, style]. Arrow keys, Home
// and End move in it, Escape and Tab close it.
export function menu(label, items) {
  const opener = element("button", { type: "button", className: "button more" }, icon("more"));
  const list = element("div", { className: "menu", id: uniqueId("menu"), hidden: true });
  opener.setAttribute("aria-label", label);
  opener.setAttribute("aria-haspopup", "menu");
  opener.setAttribute("aria-expanded", "false");
  list.setAttribute("role", "menu");
  list.setAttribute("aria-label", label);
  const root = element("div", { className: "menu-root" }, opener, list);
  const show = (is) => {
    list.hidden = !is;
    opener.setAttribute("aria-expanded", String(is));
    if (is) list.classList.toggle("up", list.getBoundingClientRect().bottom > innerHeight);
  };
  list.append(...items.map(([words, act, style = ""]) => {
    const item = element("button", { type: "button", className: style, tabIndex: -1 }, words);
    item.setAttribute("role", "menuitem");
    item.onclick = () => {
      show(false);
      opener.focus();
      act();
    };
    return item;
  }));
  opener.onclick = () => {
    show(list.hidden);
    if (!list.hidden) list.firstChild.focus();
  };
  opener.onkeydown = (event) => {
    if (event.key !== "ArrowDown") return;
    event.preventDefault();
    show(true);
    list.firstChild.focus();
  };
  list.onkeydown = (event) => {
    const all = [...list.children];
    const at = all.indexOf(document.activeElement);
    const to = { ArrowDown: (at + 1) % all.length, ArrowUp: (at + all.length - 1) % all.length, Home: 0, End: all.length - 1 }[event.key];
    if (to !== undefined) {
      event.preventDefault();
      all[to].focus();
    } else if (event.key === "Escape") {
      event.stopPropagation();
      show(false);
      opener.focus();
    }
  };
  root.addEventListener("focusout", ({ relatedTarget }) => { if (!root.contains(relatedTarget)) show(false); });
  return root;
}

// toastTime is how long a toast stays, in ms; it waits while it has the pointer or the focus.
const toastTime = 7000;

const mostToasts = 3;

// toast says what was done, for a while, and offers to take it back.
export function toast(words, undo) {
  const all = find("toasts");
  const place = document.querySelector("dialog[open]") ?? document.body; // a dialog is before all else
  if (all.parentNode !== place) place.append(all);
  const box = element("div", { className: "toast" }, element("p", {}, words));
  let timer = 0;
  let focused = null; // before the toast
  const stay = () => clearTimeout(timer);
  const leave = () => {
    stay();
    timer = setTimeout(() => box.remove(), toastTime);
  };
  if (undo) {
    box.append(button("Undo", () => {
      box.remove();
      focused?.focus();
      undo();
    }, { style: "plain", label: `Undo: ${words}` }));
  }
  box.onpointerenter = stay;
  box.addEventListener("focusin", ({ relatedTarget }) => {
    stay();
    focused = relatedTarget;
  });
  box.onpointerleave = leave;
  box.addEventListener("focusout", leave);
  while (all.childElementCount >= mostToasts) all.firstChild.remove();
  all.append(box);
  leave();
}

// A dialog takes no toasts with it.
document.addEventListener("close", () => document.body.append(find("toasts")), true);

// copy puts a text on the clipboard, and says so.
async function copy(pressed, text, node) {
  try {
    await navigator.clipboard.writeText(text);
    toast("Copied.");
  } catch { // the browser may not allow it
    getSelection().selectAllChildren(node);
    toast("Selected: copy it with the keyboard.");
  }
  pressed.focus();
}

// step is a text with a button that copies it.
export function step(title, text) {
  const head = element("h3", { id: uniqueId("step") }, title);
  const code = element("code", {}, text);
  const box = element("pre", { tabIndex: 0 }, code);
  box.setAttribute("role", "region");
  box.setAttribute("aria-labelledby", head.id);
  const press = button("Copy", () => copy(press, text, code), { label: `Copy: ${title}` });
  return element("div", { className: "step" }, element("div", { className: "step-head" }, head, press), box);
}

// failure is a line for what went wrong.
export function failure(words = "") {
  const line = element("p", { className: "error", id: uniqueId("error"), tabIndex: -1 }, words);
  line.setAttribute("role", "alert");
  return line;
}

// tabs are [title, fill], of which fill gets the panel to fill when its tab is chosen. The arrow keys
// go from tab to tab.
export function tabs(label, all) {
  const list = element("div", { className: "tabs" });
  const panel = element("div", { className: "tab-panel", id: uniqueId("tab-panel"), tabIndex: 0 });
  list.setAttribute("role", "tablist");
  list.setAttribute("aria-label", label);
  panel.setAttribute("role", "tabpanel");
  const choose = (at, focus) => {
    [...list.children].forEach((tab, i) => {
      tab.setAttribute("aria-selected", String(i === at));
      tab.tabIndex = i === at ? 0 : -1;
    });
    panel.setAttribute("aria-labelledby", list.children[at].id);
    panel.replaceChildren();
    all[at][1](panel);
    if (focus) list.children[at].focus();
    list.children[at].scrollIntoView({ block: "nearest", inline: "nearest" });
  };
  list.append(...all.map(([title], at) => {
    const tab = element("button", { type: "button", id: uniqueId("tab") }, title);
    tab.setAttribute("role", "tab");
    tab.setAttribute("aria-controls", panel.id);
    tab.onclick = () => choose(at);
    tab.onkeydown = ({ key }) => {
      const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: all.length - 1 }[key];
      if (to !== undefined) choose((to + all.length) % all.length, true);
    };
    return tab;
  }));
  choose(0);
  return { root: element("div", {}, list, panel), focus: () => list.querySelector("[aria-selected=true]").focus() };
}
