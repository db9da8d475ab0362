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
