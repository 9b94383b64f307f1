// Keys, and what is done when the page opens.
function toggleReasoning() {
  const all = [...byId("sample").querySelectorAll("details.reasoning")];
  const open = all.some((one) => !one.open);
  for (const one of all) one.open = open;
}

function startSearch() {
  if (document.body.dataset.view !== "samples") location.hash = "view:samples";
  query.focus();
  query.select();
}

function openHelp() {
  byId("help").showModal();
  byId("close").focus();
}

const KEYS = { "/": startSearch, "?": openHelp };
const SAMPLE_KEYS = { j: () => step(1), k: () => step(-1), r: toggleReasoning };

document.addEventListener("keydown", (event) => {
  const { target, key } = event;
  if (key === "Escape") cancelSearch();
  const typing = target.closest("input:not([type=checkbox]), select, textarea, dialog");
  if (typing || event.ctrlKey || event.metaKey || event.altKey || !byId("single").checked) return;
  const action = KEYS[key] ?? (document.body.dataset.view === "samples" ? SAMPLE_KEYS[key] : undefined);
  if (!action) return;
  event.preventDefault();
  action();
});
byId("keys").addEventListener("click", openHelp);

if (matchMedia("(max-width: 75rem)").matches) document.querySelector(".contents details").open = false;
if (matchMedia("(max-width: 60rem)").matches) byId("filters").open = false;
for (const text of document.querySelectorAll(".case [lang='']")) text.lang = languageOf(text.textContent);
fillFilters();
relist();
notify(...(canUnpack ? [] : [NO_UNPACKING]), ...index.lacking);
followAddress();
window.addEventListener("hashchange", followAddress);
performance.mark("list usable");
