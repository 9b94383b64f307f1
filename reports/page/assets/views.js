// The two views of the page, the theme, and what an address with a # opens.
const VIEWS = ["report", "samples"];
const theme = byId("dark");

function isDark() {
  const chosen = document.documentElement.dataset.theme;
  return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
}

function showTheme() {
  theme.setAttribute("aria-pressed", String(isDark()));
}

theme.addEventListener("click", () => {
  const chosen = isDark() ? "light" : "dark";
  document.documentElement.dataset.theme = chosen;
  try {
    localStorage.setItem("theme", chosen);
  } catch {
    // As in the head: the choice lasts as long as the page.
  }
  showTheme();
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", showTheme);
showTheme();

/** Show one view. A link says which one is open. */
function showView(wanted) {
  document.body.dataset.view = wanted;
  for (const view of VIEWS) {
    const link = document.querySelector(`.bar a[href="#view:${view}"]`);
    if (view === wanted) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
}

function wantedAnchor() {
  const written = location.hash.slice(1);
  try {
    return decodeURIComponent(written);
  } catch {
    return written; // a % that stands for itself
  }
}

/** Show what the address names: a sample by its ID, a place of the page, or the report where it names nothing. */
function followAddress() {
  const wanted = wantedAnchor();
  if (places.has(wanted)) {
    showView("samples");
    openSample(places.get(wanted));
    return;
  }
  const element = wanted ? byId(wanted) : byId("view:report");
  if (element?.closest(".report")) {
    showView("report");
    element.scrollIntoView();
  } else {
    showView("samples");
    openFirst(element ? null : `This report has no sample and no part called “${wanted}”.`);
  }
}
