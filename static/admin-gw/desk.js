// A call: Copy takes what is shown of its request and of its reply; where the clipboard is closed (plain http) it selects that.
// A transcript by keyboard: j k from turn to turn, c claims, 1–5 choose a decision, ? shows the keys. n goes on: from a search to the
// next match and then to its next conversation, otherwise to the next of the queue; p goes back a match.
// A decision is evidence, so a number only chooses: Enter, on the button that then has the focus, decides.

const turns = [...document.querySelectorAll(".gw-turn")];
for (const turn of turns) turn.tabIndex = -1;

function step(by) {
  const here = turns.indexOf(document.activeElement?.closest(".gw-turn"));
  const turn = turns[here < 0 ? (by > 0 ? 0 : turns.length - 1) : Math.min(Math.max(here + by, 0), turns.length - 1)];
  turn?.focus({ preventScroll: true });
  turn?.scrollIntoView({ block: "start" });
}

function choose(number) {
  const form = document.getElementById("review-decide");
  const choice = form?.elements.disposition?.[number - 1];
  if (!choice) return;
  choice.checked = true;
  const first = { violation: "reason", escalated: "addressee", needs_information: "addressee" };
  form.elements[first[choice.value] ?? "next"].focus();
}

const marks = [...document.querySelectorAll(".gw-read mark")];
const opened = location.hash === "#here" ? document.getElementById("here")?.closest("li") : null;
let current = opened ? marks.findIndex((mark) => opened.contains(mark)) : -1;

function show(number) {
  marks[current]?.classList.remove("gw-current");
  current = number;
  const mark = marks[current];
  mark.classList.add("gw-current");
  for (let fold = mark.closest("details"); fold; fold = fold.parentElement.closest("details")) fold.open = true;
  mark.closest(".gw-turn")?.focus({ preventScroll: true });
  mark.scrollIntoView({ block: "center" });
}

function next() {
  if (current + 1 < marks.length) return show(current + 1);
  const onwards = ["next-hits", "next-conversation", "review-skip"].map((id) => document.getElementById(id));
  onwards.find((each) => each)?.click();
}

function previous() {
  if (current > 0) return show(current - 1);
  document.querySelector(".gw-tools a[rel=prev]")?.click();
}

// A browser goes to the anchor of an address until the page is whole, and takes the focus there.
if (current >= 0) addEventListener("load", () => setTimeout(() => show(current)));

function tell() {
  const keys = document.getElementById("review-keys");
  if (keys) keys.open = !keys.open;
}

const KEYS = {
  j: () => step(1),
  k: () => step(-1),
  c: () => document.getElementById("review-claim")?.click(),
  n: next,
  p: previous,
  "?": tell,
};

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
  if (event.target.closest("input:not([type=radio]), textarea, select, [contenteditable]")) return;
  const act = KEYS[event.key] ?? (event.key >= "1" && event.key <= "5" ? () => choose(Number(event.key)) : null);
  if (!act) return;
  event.preventDefault();
  act();
});

for (const payload of document.querySelectorAll(".gw-payload:has(pre)")) {
  const text = payload.querySelector("pre");
  const button = Object.assign(document.createElement("button"), { type: "button", textContent: "Copy" });
  button.setAttribute("aria-label", `Copy ${payload.querySelector("h2").textContent.toLowerCase()}`);
  const status = document.createElement("span");
  status.setAttribute("role", "status");
  button.addEventListener("click", async () => {
    status.textContent = "";
    try {
      await navigator.clipboard.writeText(text.textContent);
      status.textContent = payload.querySelector(".gw-notice") ? "Copied what is shown" : "Copied";
    } catch {
      getSelection().selectAllChildren(text);
      status.textContent = "Selected. Copy it with your keyboard.";
    }
  });
  payload.querySelector(".gw-copy").prepend(button);
  payload.querySelector(".gw-copy").append(status);
}
