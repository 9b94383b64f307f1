// The reader: what is chosen decides what is listed, what is opened decides what is shown.
const [query, cancel, progress, status] = ["query", "cancel", "progress", "status"].map(byId);
const NO_UNPACKING = "This browser cannot unpack the texts of samples: it has no DecompressionStream. " +
  "Chrome 80, Firefox 113, Safari 16.4 and later ones have it.";
const PAUSE = 300; // milliseconds after a key before a search begins
let searching = new AbortController();
let searchNote = "";
let pause = 0; // the timer of a search that is about to begin

function notify(...sentences) {
  byId("notices").replaceChildren(...sentences.map((text) => make("p", { class: "notice", dir: "auto" }, text)));
}

/** List what is chosen anew and say how much it is. */
function relist() {
  listed = chosenSamples();
  drawRows();
  const [some, all] = [listed.length, index.samples.length].map((count) => count.toLocaleString("en"));
  status.textContent = `${some === all ? all : `${some} of ${all}`} samples${searchNote}`;
}

/** Show the current sample with what is chosen now. */
async function redraw() {
  if (current === null || !canUnpack) return;
  const number = current;
  const { chunk, place } = index.samples[number];
  try {
    const texts = await chunkOf(chunk);
    if (number === current) byId("sample").replaceChildren(...drawSample(texts[place], number, state.pattern));
  } catch (error) {
    const sentence = `The texts cannot be unpacked (${error}): the file is damaged.`;
    byId("sample").replaceChildren(make("p", { class: "notice" }, sentence));
  }
}

/** Open a sample; the address then names it. Where list and sample stand one below the other, scroll to the sample. */
async function openSample(number, scroll = true) {
  current = number;
  history.replaceState(null, "", addressOf(number));
  revealRow();
  drawRows();
  await redraw();
  byId("reading").scrollTop = 0;
  if (scroll) byId("reading").scrollIntoView();
}

/** Open the first sample unless one is open; a sentence says what else was wanted. */
function openFirst(sentence) {
  notify(...(canUnpack ? [] : [NO_UNPACKING]), ...index.lacking, ...(sentence ? [sentence] : []));
  if (current !== null) openSample(current, false);
  else if (listed.length) openSample(listed[0], false);
}

/** Say how far a search is; a share of null is one that has ended. */
function showProgress(share) {
  progress.hidden = cancel.hidden = share === null;
  progress.value = share ?? 0;
  if (share !== null) searchNote = `, ${Math.round(100 * share)} % searched`;
}

/** List what a search finds while it goes on. */
async function collectFound(signal) {
  showProgress(0);
  relist();
  for await (const { found, share } of searchTexts(state.pattern, state.methods, signal)) {
    if (signal.aborted) return;
    for (const number of found) state.found.add(number);
    showProgress(share);
    relist();
  }
}

/** Search what is typed in the texts of the methods shown; an earlier search ends. */
async function runSearch() {
  clearTimeout(pause);
  searching.abort();
  searching = new AbortController();
  const { signal } = searching;
  state.pattern = canUnpack ? patternOf(query.value) : null;
  state.found = state.pattern && new Set();
  searchNote = "";
  redraw();
  if (state.pattern) {
    try {
      await collectFound(signal);
      searchNote = " found";
    } catch (error) {
      searchNote = `, then the search failed (${error}): the file is damaged`;
    }
    if (signal.aborted) return;
  }
  showProgress(null);
  relist();
  redraw();
}

function cancelSearch() {
  if (progress.hidden) return;
  searching.abort();
  searchNote += ", then cancelled";
  showProgress(null);
  relist();
}

function chooseMethods(methods) {
  state.methods = new Set(methods);
  for (const box of byId("methods").querySelectorAll("input")) box.checked = state.methods.has(Number(box.value));
  if (state.pattern) runSearch();
  else redraw();
}

function option(text, value) {
  return make("option", { value }, text);
}

/** Fill the lists of what can be chosen. */
function fillFilters() {
  const counts = index.subsets.map((_, place) => index.samples.filter(({ subset }) => subset === place).length);
  const shifts = new Map(index.subsets.map(({ shift }) => [shift, []]));
  index.subsets.forEach(({ shift, name }, place) => shifts.get(shift).push(option(`${name}: ${counts[place]}`, place)));
  const groups = [...shifts].map(([label, options]) => make("optgroup", { label }, ...options));
  byId("subset").append(option("all", ""), ...groups);
  const counted = (method) => index.contributions[method].some((value) => value !== null);
  const orders = [...index.methods.keys()].filter(counted).map((method) => {
    return option(`contribution to R-EMI of ${index.methods[method]}`, method);
  });
  byId("sorting").append(option("the run's order", ""), ...orders);
  const boxes = index.methods.map((label, value) =>
    make("label", {}, make("input", { type: "checkbox", checked: true, value }), " ", make("bdi", {}, label)),
  );
  byId("methods").append(...boxes);
}

const chosenNumber = (select) => (select.value === "" ? null : Number(select.value));

byId("subset").addEventListener("change", ({ target }) => {
  state.subset = chosenNumber(target);
  relist();
  redraw();
});
byId("sorting").addEventListener("change", ({ target }) => {
  state.sorting = chosenNumber(target);
  byId("direction").disabled = state.sorting === null;
  relist();
  redraw();
});
byId("direction").addEventListener("change", ({ target }) => {
  state.highestFirst = target.value === "highest";
  relist();
  redraw();
});
byId("methods").addEventListener("change", () => {
  chooseMethods([...byId("methods").querySelectorAll(":checked")].map((box) => Number(box.value)));
});
byId("all").addEventListener("click", () => chooseMethods(index.methods.keys()));
byId("none").addEventListener("click", () => chooseMethods([]));
byId("finding").addEventListener("submit", (event) => {
  event.preventDefault();
  runSearch();
});
query.addEventListener("input", () => {
  clearTimeout(pause);
  pause = setTimeout(runSearch, PAUSE);
});
cancel.addEventListener("click", cancelSearch);
