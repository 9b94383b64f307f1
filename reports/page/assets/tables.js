// Tables sorted by their heads: numbers from the highest, words from A, a second press the other way, a third as made.
const ORDERS = ["ascending", "descending"];
const collator = new Intl.Collator("en", { numeric: true });

/** Compare two cells by number or else by text; a missing value stands last in both orders. */
function compareCells(one, other, sign) {
  const missing = ("missing" in one.dataset) - ("missing" in other.dataset);
  if (missing) return missing;
  if ("value" in one.dataset && "value" in other.dataset) return sign * (one.dataset.value - other.dataset.value);
  return sign * collator.compare(one.textContent, other.textContent);
}

function nextOrder(current, numeric) {
  const cycle = numeric ? [...ORDERS].reverse() : ORDERS;
  return current === null ? cycle[0] : cycle[cycle.indexOf(current) + 1] ?? null;
}

function makeSortable(table) {
  const [body] = table.tBodies;
  const made = [...body.rows];
  const heads = [...table.querySelectorAll(".heads th")];
  heads.forEach((head, column) => {
    const numeric = made.some((row) => "value" in row.cells[column].dataset);
    head.firstElementChild.addEventListener("click", () => {
      const order = nextOrder(head.getAttribute("aria-sort"), numeric);
      const sign = order === "descending" ? -1 : 1;
      const sorted = [...made].sort((one, other) => compareCells(one.cells[column], other.cells[column], sign));
      for (const other of heads) other.removeAttribute("aria-sort");
      if (order) head.setAttribute("aria-sort", order);
      body.append(...(order ? sorted : made));
    });
  });
}

document.querySelectorAll("table.sortable").forEach(makeSortable);
