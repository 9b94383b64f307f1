// The texts of samples: chunks of JSON in gzip in base64 at the end of the page, unpacked when they are wanted.
const KEPT_CHUNKS = 12;
const unpacked = new Map(); // number of a chunk -> promise of its samples, the latest used last
const canUnpack = "DecompressionStream" in window;
const wholePage = new Promise((resolve) => {
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", resolve, { once: true });
  else resolve();
});

async function unpack(chunk) {
  if (!byId(`texts:${chunk}`)) await wholePage;
  const raw = atob(byId(`texts:${chunk}`).textContent);
  const bytes = new Uint8Array(raw.length);
  for (let place = 0; place < raw.length; place += 1) bytes[place] = raw.charCodeAt(place);
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).json();
}

/** Return a promise of a chunk's samples. */
function chunkOf(chunk) {
  const found = unpacked.get(chunk) ?? unpack(chunk);
  unpacked.delete(chunk);
  unpacked.set(chunk, found);
  if (unpacked.size > KEPT_CHUNKS) unpacked.delete(unpacked.keys().next().value);
  return found;
}
