// The list of samples: as high as all of them, but only the rows in view are made.
const ROW_HEIGHT = 64; // pixels, as in the style
const SPARE_ROWS = 6;
const list = byId("list");
const rail = make("div", { class: "rail" });
list.append(rail);
let listed = []; // numbers of samples, in the order shown
let current = null; // number of the sample that is read

function drawRow(number, position) {
  const { id, subset, name, opening } = index.samples[number];
  const value = state.sorting === null ? null : contributionText(index.contributions[state.sorting][number]);
  const row = make(
    "div",
    {
      class: "row",
      id: `row:${number}`,
      role: "option",
      "aria-selected": String(number === current),
      "aria-setsize": listed.length,
      "aria-posinset": position + 1,
    },
    make("div", { class: "top" }, make("bdi", { class: "id" }, id), value === null ? null : make("span", {}, value)),
    make("div", { class: "top" }, make("bdi", { class: "who" }, name ?? ""), index.subsets[subset].name),
    make("div", { class: "opening", dir: "auto", lang: languageOf(opening ?? "") }, opening ?? ""),
  );
  row.style.top = `${position * ROW_HEIGHT}px`;
  row.dataset.number = number;
  return row;
}

function drawRows() {
  const first = Math.max(0, Math.floor(list.scrollTop / ROW_HEIGHT) - SPARE_ROWS);
  const last = Math.ceil((list.scrollTop + list.clientHeight) / ROW_HEIGHT) + SPARE_ROWS;
  rail.style.height = `${listed.length * ROW_HEIGHT}px`;
  rail.replaceChildren(...listed.slice(first, last).map((number, place) => drawRow(number, first + place)));
  if (byId(`row:${current}`)) list.setAttribute("aria-activedescendant", `row:${current}`);
  else list.removeAttribute("aria-activedescendant");
}

/** Scroll the list so that the current sample's row is in view. */
function revealRow() {
  const top = listed.indexOf(current) * ROW_HEIGHT;
  if (top < 0) return;
  if (top < list.scrollTop) list.scrollTop = top;
  else if (top + ROW_HEIGHT > list.scrollTop + list.clientHeight) list.scrollTop = top + ROW_HEIGHT - list.clientHeight;
}

/** Open the sample so many rows on; the first where the current one is not listed. */
function step(rows) {
  const position = listed.indexOf(current);
  const wanted = position < 0 ? 0 : Math.min(listed.length - 1, Math.max(0, position + rows));
  if (listed.length) openSample(listed[wanted]);
}

const rowsInView = () => Math.max(1, Math.floor(list.clientHeight / ROW_HEIGHT) - 1);
const LIST_KEYS = {
  ArrowDown: () => 1,
  ArrowUp: () => -1,
  PageDown: () => rowsInView(),
  PageUp: () => -rowsInView(),
  Home: () => -listed.length,
  End: () => listed.length,
};

list.addEventListener("scroll", drawRows);
new ResizeObserver(drawRows).observe(list);
list.addEventListener("click", (event) => {
  const row = event.target.closest(".row");
  if (row) openSample(Number(row.dataset.number));
});
list.addEventListener("keydown", (event) => {
  if (!(event.key in LIST_KEYS)) return;
  event.preventDefault();
  step(LIST_KEYS[event.key]());
});
