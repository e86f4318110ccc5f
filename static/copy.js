// A Copy button under each text that is there to be copied. Without the clipboard (plain http elsewhere), none.
for (const holder of navigator.clipboard ? document.querySelectorAll(".copied") : []) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "button quiet";
  button.textContent = "Copy";
  button.setAttribute("aria-live", "polite");
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(holder.querySelector("pre").textContent);
      button.textContent = "Copied";
    } catch {
      button.textContent = "Could not copy: select the text";
    }
    setTimeout(() => { button.textContent = "Copy"; }, 2000);
  });
  holder.append(button);
}
