// How far an export has come, once a second; when it ends, the page with its files.

const place = document.getElementById("export-progress");

async function look() {
  const response = await fetch(place.dataset.url, { headers: { accept: "application/json" } }).catch(() => null);
  if (response?.ok) {
    const now = await response.json();
    if (now.state !== "waiting" && now.state !== "running") return location.reload();
    place.querySelector("progress").value = now.percent;
    place.querySelector("[data-says]").textContent =
      now.total === null ? "Selecting rows…"
      : now.taken < now.total ? `${now.taken.toLocaleString("en")} of ${now.total.toLocaleString("en")} rows`
      : "All rows are written. Creating the integrity files…";
  }
  setTimeout(look, 1000);
}

if (place) setTimeout(look, 1000);
