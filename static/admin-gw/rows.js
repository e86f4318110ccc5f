// Ticked rows of a list: a box that ticks all of the page, and how many are ticked.

const boxes = [...document.querySelectorAll("input[name=row]")];
const heading = document.querySelector("#result_list thead .column-tick .text");
const count = document.querySelector(".gw-ticked-count");

if (boxes.length && heading && count) {
  const all = Object.assign(document.createElement("input"), { type: "checkbox" });
  all.setAttribute("aria-label", "Select all rows of this page");
  heading.replaceChildren(all);
  count.setAttribute("aria-live", "polite");
  const tell = () => {
    const ticked = boxes.filter((box) => box.checked).length;
    all.checked = ticked === boxes.length;
    all.indeterminate = ticked > 0 && !all.checked;
    count.textContent = ticked === 0 ? "With the selected rows:" : `With ${ticked} selected ${ticked === 1 ? "row" : "rows"}:`;
  };
  all.addEventListener("change", () => {
    for (const box of boxes) box.checked = all.checked;
    tell();
  });
  for (const box of boxes) box.addEventListener("change", tell);
  tell();
}
