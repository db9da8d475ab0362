// Programs that ask: their questions at the top of the page, and the answers that are
// remembered. The page answers, and adds apps, once the person has confirmed it, with a code
// that the desktop shows them.

import { ask, follow, send, speak } from "./agent.js";
import { actions, announce, attempt, button, during, element, failure, field, find, moment, write } from "./dom.js";

let state = { confirmed: false, advice: null, asks: [], answers: [] };

// ---- The code

// confirmed returns whether the page speaks for the person, after asking for the code. It
// throws what keeps the code from being shown.
export async function confirmed() {
  if (state.confirmed) return true;
  await ask("POST", "/v1/page/confirm/code", {});
  return new Promise((resolve) => form(resolve));
}

// form asks for the code that is shown, and calls then at its end.
function form(then) {
  const { input, parts } = field("Code", { type: "text", inputMode: "numeric", autocomplete: "one-time-code", maxLength: 9, className: "field short" },
    "Six digits. They are in a notification, or at the top of Langkeep's tray menu.");
  const error = failure();
  const submit = button("Confirm", null, { type: "submit", style: "primary" });
  const another = button("Show another code", () => during(another, "Asking…", () => attempt(error, async () => {
    await ask("POST", "/v1/page/confirm/code", {});
    input.value = "";
    input.focus();
  })));
  const cancel = button("Cancel", () => dialog.close());
  const title = element("h2", { id: "confirm-title" }, "Confirm that this is you");
  const body = element("form", { noValidate: true, autocomplete: "off" }, title,
    element("p", {}, "Any program can open this page. Type the code that Langkeep shows you now, and the page may answer programs and add apps for you until it is loaded again."),
    ...parts, error, actions(submit, another, cancel));
  const dialog = element("dialog", { id: "confirm" }, body);
  dialog.setAttribute("aria-labelledby", title.id);
  let done = false;
  body.onsubmit = (event) => {
    event.preventDefault();
    during(submit, "Confirming…", () => attempt(error, async () => {
      input.focus();
      input.select(); // for another try
      const { token } = await ask("POST", "/v1/page/confirm", { code: input.value });
      speak(token);
      state.confirmed = done = true;
      follow(); // as the page that it is by now
      dialog.close();
    }));
  };
  dialog.onclose = () => {
    dialog.remove();
    then(done);
  };
  document.body.append(dialog);
  dialog.showModal();
  input.focus();
}

// ---- Questions

const shown = new Map(); // lines, by the questions' ids

// answer gives answers to questions, and says what keeps it from that.
const answer = (pressed, ids, choice) => during(pressed, "Answering…", () => attempt(find("asking-error"), async () => {
  if (!choice.startsWith("deny") && !await confirmed()) return;
  for (const id of ids) {
    try {
      await send("POST", `/v1/asks/${encodeURIComponent(id)}`, { answer: choice });
    } catch (problem) {
      if (problem.kind !== "not-found" || ids.length === 1) throw problem; // else answered elsewhere
    }
  }
  // The stream tells a second later, when a new question may stand behind.
  state.asks = state.asks.filter(({ id }) => !ids.includes(id));
  showQuestions();
}));

function line(question) {
  const buttons = question.choices.map((choice) => button(choice.label,
    (pressed) => answer(pressed, [question.id], choice.answer), { label: `${choice.label}: ${question.words}` }));
  return element("li", {}, element("p", {}, question.words), actions(...buttons));
}

function showQuestions() {
  const { asks, advice } = state;
  const list = find("asking-list");
  const focused = list.contains(document.activeElement);
  const news = asks.filter((question) => !shown.has(question.id));
  const now = new Map(asks.map((question) => {
    const before = shown.get(question.id);
    const key = JSON.stringify(question); // a command's answer changes it
    return [question.id, before?.key === key ? before : { key, root: line(question) }];
  }));
  shown.clear();
  now.forEach((value, id) => shown.set(id, value));
  const lines = [...now.values()].map(({ root }) => root);
  // A button that is put where it is loses the focus.
  if (lines.length !== list.children.length || lines.some((root, i) => list.children[i] !== root)) list.replaceChildren(...lines);
  find("asking-all").hidden = asks.length < 2;
  find("asking-advice").hidden = !advice;
  write(find("asking-advice"), advice ?? "");
  write(find("asking-title"), asks.length > 1 ? `${asks.length} programs ask` : asks.length === 1 ? "A program asks" : "Programs that ask");
  find("asking").hidden = asks.length === 0 && !advice && find("asking-error").textContent === "";
  if (news.length > 0) announce(news.map((question) => question.words).join(" "));
  if (focused && !list.contains(document.activeElement)) find("asking-title").focus();
}

// ---- What is remembered

const answered = { "session": "in this session", "always": "always", "deny": "for now", "deny-always": "always" };

function showRemembered() {
  const programs = Map.groupBy(state.answers, (given) => given.program);
  find("remembered").hidden = programs.size === 0;
  find("remembered-list").replaceChildren(...[...programs].map(([program, given]) => {
    const back = button("Take back", () => during(back, "Taking back…", () => attempt(find("remembered-error"), async () => {
      if (given.some((one) => one.answer.startsWith("deny")) && !await confirmed()) return;
      await send("DELETE", `/v1/asks?program=${encodeURIComponent(program)}`);
      find("remembered-title").focus();
    })), { label: `Take back what you have answered about ${program}` });
    const lines = given.map((one) => element("span", { className: "block" },
      `${one.words.replace(/\.$/, "")}, ${one.until ? `until ${moment(one.until)}` : answered[one.answer]}.`));
    return element("li", {}, element("p", {}, element("b", {}, program), ...lines), back);
  }));
}

export const asking = {
  get waits() {
    return state.asks.length > 0;
  },

  update(data) {
    state = data;
    showQuestions();
    showRemembered();
  },

  // clear forgets all, as the page's access has ended.
  clear() {
    find("confirm")?.close();
    write(find("asking-error"), "");
    this.update({ confirmed: false, advice: null, asks: [], answers: [] });
  },
};

const all = (id, choice) => {
  find(id).onclick = () => answer(find(id), state.asks.map((question) => question.id), choice);
};
all("asking-allow-all", "once");
all("asking-deny-all", "deny");
