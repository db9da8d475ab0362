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

// ---- Drawings, menus, toasts

const icons = {
  chevron: "M4 6l4 4 4-4",
  more: "M3 8h.01M8 8h.01M13 8h.01",
};

// icon is a drawing of lines, 16 wide.
export function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const path = document.createElementNS(svg.namespaceURI, "path");
  svg.setAttribute("viewBox", "0 0 16 16");
  svg.setAttribute("aria-hidden", "true");
  svg.setAttribute("class", `icon ${name}`);
  path.setAttribute("d", icons[name]);
  svg.append(path);
  return svg;
}

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

// toast says what was done, for a while, and offers to take it back.
export function toast(words, undo) {
  const box = element("div", { className: "toast" }, element("p", {}, words));
  let timer = 0;
  const stay = () => clearTimeout(timer);
  const leave = () => {
    stay();
    timer = setTimeout(() => box.remove(), toastTime);
  };
  if (undo) {
    const button = element("button", { type: "button", className: "button plain" }, "Undo");
    button.setAttribute("aria-label", `Undo: ${words}`);
    button.onclick = () => {
      box.remove();
      undo();
    };
    box.append(button);
  }
  box.onpointerenter = box.onfocusin = stay;
  box.onpointerleave = box.onfocusout = leave;
  find("toasts").append(box);
  leave();
}

// copy puts a text on the clipboard, and says so.
async function copy(button, text, node) {
  try {
    await navigator.clipboard.writeText(text);
    toast("Copied.");
  } catch { // the browser may not allow it
    getSelection().selectAllChildren(node);
    toast("Selected: copy it with the keyboard.");
  }
  button.focus();
}

// step is a text with a button that copies it.
export function step(title, text) {
  const head = element("h3", { id: uniqueId("step") }, title);
  const code = element("code", {}, text);
  const box = element("pre", { tabIndex: 0 }, code);
  box.setAttribute("role", "region");
  box.setAttribute("aria-labelledby", head.id);
  const button = element("button", { type: "button", className: "button" }, "Copy");
  button.setAttribute("aria-label", `Copy: ${title}`);
  button.onclick = () => copy(button, text, code);
  return element("div", { className: "step" }, element("div", { className: "step-head" }, head, button), box);
}

// failure is a line for what went wrong.
export function failure() {
  const line = element("p", { className: "error" });
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
