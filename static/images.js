// Images: what the chosen ones cost together, and a page that shows its images as soon as they are there.
// Without this, each size says its price, and the page asks again by itself.
const form = document.querySelector("form.drawing");
if (form) {
  const prices = JSON.parse(document.getElementById("prices").textContent);
  const output = form.querySelector("output");
  const send = form.querySelector("[type=submit]");
  const tell = () => {
    const cost = prices[form.kind.value] * form.count.valueAsNumber;
    output.textContent = form.count.validity.valid && cost ? `Costs about $${cost.toFixed(cost < 0.1 ? 4 : 2)}` : "";
  };
  form.addEventListener("input", tell);
  form.addEventListener("submit", () => {
    send.disabled = true;
    output.textContent = "Sending…";
  });
  addEventListener("pageshow", () => {
    send.disabled = false;
    tell();
  });
}

async function look() {
  let waits = true;
  try {
    const response = await fetch(location.href, { cache: "no-store", redirect: "manual" });
    waits = response.status >= 500 || response.headers.has("Retry-After");
  } catch {
    waits = true; // away: once more, later
  }
  if (waits) setTimeout(look, 2000);
  else location.reload();
}

if (document.querySelector("[data-pending]")) setTimeout(look, 1000);
