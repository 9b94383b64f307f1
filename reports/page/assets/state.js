// What the reader has chosen.
const state = {
  subset: null, // its place in the index; null for all
  methods: new Set(index.methods.keys()), // those shown and searched
  sorting: null, // the method by whose contributions is sorted; null for the run's order
  highestFirst: true,
  pattern: null, // what is searched
  found: null, // numbers of the samples in which it was found; null while nothing is searched
};

/** Return the numbers of the samples that fit what was chosen, in order; those without a contribution stand last. */
function chosenSamples() {
  const fits = (number) =>
    (state.subset === null || index.samples[number].subset === state.subset) && (state.found?.has(number) ?? true);
  const chosen = [...index.samples.keys()].filter(fits);
  if (state.sorting === null) return chosen;
  const values = index.contributions[state.sorting];
  const sign = state.highestFirst ? -1 : 1;
  return chosen.sort(
    (one, other) => (values[one] === null) - (values[other] === null) || sign * (values[one] - values[other]),
  );
}
