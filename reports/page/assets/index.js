// What is known of each sample before its texts are unpacked.
const index = JSON.parse(byId("index").textContent);
const FIELDS = ["id", "subset", "name", "opening", "chunk", "place"];
index.samples = index.samples.map((values) => Object.fromEntries(FIELDS.map((field, at) => [field, values[at]])));
const places = new Map(index.samples.map(({ id }, number) => [id, number]));
const addressOf = (number) => `#${encodeURIComponent(index.samples[number].id)}`;
