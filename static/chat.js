// The chat pages, made smooth: answers stream, Stop stands where Send stood, drafts are kept, texts are copied.
// Every action is a form or a link that works without this. The only HTML that comes in is what our server rendered.

const trusted = window.trustedTypes ? trustedTypes.createPolicy("gw", { createHTML: (html) => html }) : { createHTML: (html) => html };
const find = (selector, within = document) => within.querySelector(selector);
const parse = (html) => new DOMParser().parseFromString(trusted.createHTML(html), "text/html");
const make = (tag, className, text) => Object.assign(document.createElement(tag), { className, textContent: text });
const SIGNED_OUT = "Your session has ended. What you wrote is kept here.";
const UNREACHABLE = "The gateway cannot be reached. Your question is still here: try again in a moment.";
const UNSURE = "The connection was cut before the gateway answered. Look at your recent conversations before you send this again.";
const RETRY = [500, 1000, 2000, 4000, 8000, 15000];

let live = null; // the answer that grows: {url, stop, article, log, tail, after, ended}
let sending = false;
let branch = null; // the question that is being reworded
let path = location.pathname;

// What the page says of itself

function status(text) {
  const foot = find(".composer");
  let line = foot && find("[role=status]", foot);
  if (foot && !line) {
    line = make("p", "status", "");
    line.setAttribute("role", "status");
    (find(".row", foot) ?? foot).insertBefore(line, find(".row .button", foot));
  }
  if (line && line.textContent !== text) line.textContent = text;
}

function problem(text, link, address) {
  find(".composer > .problem")?.remove();
  if (!text) return;
  const box = make("div", "problem", "");
  box.setAttribute("role", "alert");
  box.append(make("p", "", text));
  if (link) box.append(Object.assign(make("a", "button quiet", link), { href: address }));
  const foot = find(".composer");
  foot.insertBefore(box, find(".box", foot));
}

function signedOut() {
  problem(SIGNED_OUT, "Sign in", path);
  status("Signed out");
}

const isSignedOut = (response) => response.type === "opaqueredirect" || response.status === 401 || response.status === 403;

// The events of a response, as they come

async function* events(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read().catch(() => ({ done: true })); // a cut connection
    if (done) return;
    const parts = (rest + value).split("\n\n");
    rest = parts.pop();
    for (const part of parts) {
      const event = Object.fromEntries(part.split("\n").map((line) => [line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 1).trim()]));
      if (event.event) yield { name: event.event, id: event.id, data: JSON.parse(event.data) };
    }
  }
}

async function follow(response) {
  for await (const event of events(response)) take(event);
}

async function attach() {
  for (let tries = 0; live && !live.ended; tries++) {
    const answer = live;
    let response = null;
    try {
      response = await fetch(`${live.url}?after=${live.after}`, { headers: { Accept: "text/event-stream" }, redirect: "manual", cache: "no-store" });
    } catch {
      response = null; // away: once more, later
    }
    if (response && isSignedOut(response)) return signedOut();
    if (response?.status === 404) return location.reload();
    if (response?.ok) {
      const before = answer.after;
      await follow(response);
      if (answer.after !== before) tries = 0;
    }
    if (answer.ended) return;
    status("Reconnecting…");
    await new Promise((wake) => setTimeout(wake, RETRY[Math.min(tries, RETRY.length - 1)]));
  }
}

// The answer on the page

function begin(page, article) {
  const section = find("[data-live]", page);
  const said = find(":scope > .said", article) ?? article.insertBefore(make("div", "said", ""), find(":scope > footer", article));
  const log = find(":scope > .prose", said) ?? said.appendChild(make("div", "prose", ""));
  log.setAttribute("role", "log");
  const tail = said.appendChild(make("div", "prose tail", ""));
  const stop = find("form.composer .stop");
  if (stop) stop.disabled = false;
  live = { url: section.dataset.live, stop: find("form", section), article, log, tail, after: 0, ended: false };
  article.classList.add("growing");
}

function take({ name, id, data }) {
  if (name === "turn") return turn(parse(data));
  if (name === "done" || name === "problem") return finish(parse(data));
  if (name === "away") return status(data); // attach asks again
  const { article, log, tail } = live;
  find(":scope > .waiting", article)?.remove();
  find(":scope > .note", article)?.remove();
  if (id) live.after = Number(id);
  if (name === "full") log.innerHTML = trusted.createHTML(data);
  if (name === "full" || name === "block") tail.replaceChildren();
  if (name === "block") log.insertAdjacentHTML("beforeend", trusted.createHTML(data));
  if (name === "tail") tail.innerHTML = trusted.createHTML(data);
  if (name === "text") find("code", tail).append(data);
  status("Generating…");
}

function heading(page) {
  document.title = page.title;
  find(".bar").replaceChildren(...find(".bar", page).childNodes);
  find(".recent").replaceChildren(...find(".recent", page).childNodes);
}

/** The question is accepted: it goes to the top, once, and its answer grows below it. */
function turn(page) {
  const [question, answer] = [...page.querySelectorAll("main > .turn")].slice(-2);
  const main = find("main");
  main.querySelectorAll(".latest").forEach((old) => old.classList.remove("latest"));
  main.querySelectorAll(":scope > :is(.welcome, .empty, .message, .exports), #newest").forEach((old) => old.remove());
  const form = find("form.composer");
  const asked = document.getElementById(question.id); // before: it is answered once more
  let old = asked ?? branch ?? document.getElementById(`m${form.parent.value}`)?.nextElementSibling; // an answer that failed, or waits
  while (old) {
    const next = old.nextElementSibling;
    old.remove();
    old = next;
  }
  main.append(find("#newest", page), question, answer);
  if (!asked && !branch) {
    forget();
    form.message.value = "";
  }
  branch = null;
  const address = find("[data-live]", page).dataset.live.replace(/live\/.*/, "");
  if (location.pathname !== address) history.pushState(null, "", address);
  else if (location.search) history.replaceState(null, "", address); // it named another version
  path = address;
  form.action = address;
  heading(page);
  begin(page, answer);
  answer.classList.add("latest");
  question.scrollIntoView({ block: "start" });
  status("Generating…");
}

/** The answer as the record has it: its text stays where it is if that is what was streamed. */
function finish(page) {
  const { article, log, tail } = live;
  const fresh = [...page.querySelectorAll("main > .turn.answer")].pop();
  tail.remove();
  log.removeAttribute("role");
  const theirs = fresh?.querySelectorAll(":scope > .said > .prose") ?? [];
  if (theirs.length === 1 && theirs[0].innerHTML === log.innerHTML) theirs[0].replaceWith(log);
  article.replaceChildren(...(fresh?.childNodes ?? []));
  if (fresh) article.id = fresh.id;
  article.classList.remove("growing");
  for (const question of page.querySelectorAll("main > .turn.question")) {
    const ours = document.getElementById(question.id);
    if (ours) find("footer", ours).replaceWith(find("footer", question));
  }
  live.ended = true;
  const form = find("form.composer");
  if (form) {
    form.parent.value = find("form.composer", page).parent.value;
    toggle(false);
  } else {
    const foot = find(".composer");
    const focused = foot.contains(document.activeElement);
    foot.replaceWith(find(".composer", page));
    ready();
    if (focused) find("form.composer").message.focus();
  }
  const exports = find("main > .exports", page);
  if (exports && !find("main > .exports")) article.after(exports);
  heading(page);
  find(".policy").replaceWith(find(".policy", page)); // with what the month has cost by now
  decorate(article);
  const words = find(":scope > .said", article)?.innerText.split(/\s+/).filter(Boolean).length ?? 0;
  const what = find(":scope > .problem b", article)?.textContent;
  status(what ?? `Complete, ${words.toLocaleString("en")} ${words === 1 ? "word" : "words"}`);
  live = null;
}

// Asking and stopping

function toggle(on) {
  sending = on;
  const send = find("form.composer .row [type=submit]");
  let stop = find("form.composer .row .stop");
  send.hidden = on;
  if (!on) {
    if (stop?.contains(document.activeElement)) find("form.composer").message.focus();
    return stop?.remove();
  }
  stop = make("button", "button stop", "Stop");
  stop.type = "button";
  stop.disabled = true;
  stop.addEventListener("click", halt);
  send.after(stop);
}

/** What the composer holds, or `again`: a form that has a question answered once more, or rewords it. */
async function ask(again) {
  const form = find("form.composer");
  const body = new URLSearchParams(new FormData(again ?? form));
  const address = (again ?? form).action;
  toggle(true);
  problem("");
  status("Sending…");
  form.message.focus({ preventScroll: true });
  let response;
  try {
    response = await fetch(address, { method: "POST", body, headers: { Accept: "text/event-stream" }, redirect: "manual" });
  } catch {
    toggle(false);
    status("Not sent");
    return problem(UNREACHABLE);
  }
  if (isSignedOut(response)) {
    toggle(false);
    return again && !again.message ? again.submit() : signedOut(); // on to where that leads
  }
  if (!response.headers.get("Content-Type")?.startsWith("text/event-stream")) {
    const page = parse(await response.text());
    const theirs = find("form.composer", page);
    toggle(false);
    status("Not sent");
    if (theirs && again?.message) {
      problem(find(".problem p, .errorlist", theirs)?.textContent ?? UNREACHABLE);
      return again.message.focus();
    }
    if (!theirs) return problem([...page.querySelectorAll("main h1, main h1 + p")].map((part) => part.textContent).join(". ") || UNREACHABLE);
    form.replaceWith(theirs);
    ready();
    status("Not sent");
    return find("form.composer").message.focus();
  }
  const model = again?.model?.value; // the next question is asked of it too
  if (model && [...(form.model.options ?? [])].some((option) => option.value === model)) form.model.value = model;
  await follow(response);
  if (live && !live.ended) return attach();
  if (sending) {
    toggle(false);
    status("Not sure whether it was sent");
    problem(UNSURE);
  }
}

// Editing, where the question stands

async function edit(link) {
  const article = document.getElementById(`m${link.pathname.split("/").at(-2)}`);
  let form;
  try {
    const response = await fetch(link.href, { redirect: "manual", cache: "no-store" });
    form = response.ok && find("main > form.composer", parse(await response.text()));
  } catch {
    form = null;
  }
  if (!form || !article || live || sending) return location.assign(link.href);
  find("form.rewording")?.dispatchEvent(new Event("reset"));
  const fields = new FormData(form);
  const box = form.message;
  form.className = "rewording";
  form.setAttribute("aria-label", "Edit the question");
  box.id = "id_rewording";
  box.setAttribute("aria-label", "Edited question");
  const buttons = make("div", "buttons", "");
  const cancel = Object.assign(make("button", "button quiet", "Cancel"), { type: "reset" });
  const more = Object.assign(make("a", "action", "Model and parameters"), { href: link.href });
  buttons.append(more, cancel, Object.assign(make("button", "button", "Send"), { type: "submit" }));
  fields.delete("message");
  const hidden = [...fields].map(([name, value]) => Object.assign(document.createElement("input"), { type: "hidden", name, value }));
  form.replaceChildren(...hidden, box, make("p", "hint", "The original stays; this starts a second version."), buttons);
  form.addEventListener("reset", (event) => {
    event.preventDefault();
    form.remove();
    article.classList.remove("edited");
    link.focus();
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (sending || live || !box.value.trim()) return box.focus();
    branch = article;
    ask(form).finally(() => (branch = null));
  });
  enters(form);
  box.addEventListener("keydown", (event) => event.key === "Escape" && !event.isComposing && cancel.click());
  article.classList.add("edited");
  find(":scope > .said", article).before(form);
  box.focus();
  box.setSelectionRange(box.value.length, box.value.length);
}

document.addEventListener("click", (event) => {
  const link = event.target.closest("main > .turn a[href*='/edit/']:is(.action, .problem > a)");
  if (!link || event.button || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey || !find("form.composer")) return;
  event.preventDefault();
  edit(link);
});

async function halt() {
  if (!live?.stop) return;
  const button = find(".composer .row .stop"); // what is disabled loses the focus
  if (button?.contains(document.activeElement)) find("form.composer").message.focus({ preventScroll: true });
  if (button) button.disabled = true;
  status("Stopping…");
  try {
    const response = await fetch(live.stop.action, { method: "POST", body: new URLSearchParams(new FormData(live.stop)), redirect: "manual" });
    if (response.status >= 400) throw new TypeError("refused");
  } catch {
    status("The answer could not be stopped");
    if (button) button.disabled = false;
  }
}

// Drafts

const draft = () => `draft:${path}`;
const forget = () => sessionStorage.removeItem(draft());

function ready() {
  const form = find("form.composer");
  if (!form || !find("main > .welcome, main > .turn, main > .empty") || form.closest("main")) return;
  status("");
  if (!form.message.value) form.message.value = sessionStorage.getItem(draft()) ?? "";
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (sending || !form.message.value.trim()) return form.message.focus();
    ask();
  });
  form.message.addEventListener("input", () => sessionStorage.setItem(draft(), form.message.value));
  enters(form);
}

/** Enter sends, unless it ends a composition. */
function enters(form) {
  form.message.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing || event.keyCode === 229) return;
    event.preventDefault();
    if (!sending) form.requestSubmit();
  });
}

// A use case has a model of its own, if an admin gave it one

document.addEventListener("change", ({ target }) => {
  const model = target.name === "use_case" && target.form.model;
  const wanted = model && target.selectedOptions[0].dataset.model;
  if (!wanted || model.value === wanted || (model.options && ![...model.options].some((option) => option.value === wanted))) return;
  model.value = wanted;
  status(`Model: ${wanted}`);
});

// Copying

function copier(label, text) {
  const button = make("button", "action copy", "Copy");
  button.type = "button";
  button.setAttribute("aria-label", label);
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(text());
    button.textContent = "Copied";
    status("Copied");
    setTimeout(() => (button.textContent = "Copy"), 2000);
  });
  return button;
}

function decorate(within) {
  if (!navigator.clipboard) return; // only where the page is served safely
  for (const block of within.querySelectorAll(".prose .code:not(:has(> .copy))")) block.prepend(copier("Copy the code", () => find("code", block).textContent));
  for (const said of [within, ...within.querySelectorAll(".turn.answer")].map((turn) => find(":scope > .said", turn)).filter(Boolean)) {
    if (find(":scope > footer > .copy", said.parentElement)) continue;
    const text = () => {
      const buttons = said.querySelectorAll(".copy");
      buttons.forEach((button) => (button.hidden = true));
      const words = said.innerText.trim();
      buttons.forEach((button) => (button.hidden = false));
      return words;
    };
    find(":scope > footer", said.parentElement).prepend(copier("Copy the answer", text));
  }
}

// The theme, without leaving the page

async function choose(form, button) {
  const body = new URLSearchParams(new FormData(form, button));
  const response = await fetch(form.action, { method: "POST", body, redirect: "manual" }).catch(() => null);
  if (response?.type !== "opaqueredirect") return; // not kept: what was pressed stays pressed
  const theme = button.value === "auto" ? "" : button.value;
  document.documentElement.dataset.theme = theme;
  find("meta[name=color-scheme]").content = theme || "light dark";
  for (const other of form.querySelectorAll("button")) other.setAttribute("aria-pressed", other === button);
}

document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && !event.isComposing && live && !find(":popover-open")) halt();
});
document.addEventListener("submit", (event) => {
  if (event.target.action?.endsWith("/sign-out/")) for (const key of Object.keys(sessionStorage)) if (key.startsWith("draft:")) sessionStorage.removeItem(key);
  if (event.target.action?.endsWith("/again/")) {
    if (!live && !find("form.composer")) return;
    event.preventDefault();
    if (!sending && !live) ask(event.target);
  }
  if (event.target.matches(".theme")) {
    event.preventDefault();
    choose(event.target, event.submitter);
  }
  if (live && event.target === live.stop && !event.defaultPrevented) {
    event.preventDefault();
    halt();
  }
});
addEventListener("popstate", () => location.pathname !== path && location.reload());

ready();
decorate(document);
if (find("[data-live]")) {
  begin(document, [...document.querySelectorAll("main > .turn.answer")].pop());
  attach();
}
