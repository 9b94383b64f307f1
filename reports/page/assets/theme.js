// Light or dark as the system says, until the reader chooses. Stands in the head, so that nothing flashes.
try {
  const chosen = localStorage.getItem("theme");
  if (chosen) document.documentElement.dataset.theme = chosen;
} catch {
  // Storage is closed to this page: the choice lasts as long as the page.
}
