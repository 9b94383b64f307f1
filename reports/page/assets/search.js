// Search through all texts, chunk by chunk, so that it shows how far it is and can be cancelled.

/** Return a pattern that finds what was typed, in any case and with any white space; null where nothing was. */
function patternOf(query) {
  const words = query.trim().split(/\s+/).filter(Boolean);
  const literal = words.map((word) => word.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&"));
  return words.length ? new RegExp(literal.join("\\s+"), "giu") : null;
}

/** Return all texts of a sample that are searched: everything that is shown of it, of the methods shown. */
function textsOf({ sample, reasoning, answers }, methods) {
  const texts = answers.flatMap((answer, method) => (methods.has(method) ? [answer?.response, answer?.reasoning] : []));
  if (reasoning) texts.push(reasoning.reasoning, reasoning.shown);
  if (sample) {
    texts.push(sample.user_persona, ...Object.values(sample.agent_character));
    texts.push(sample.last_query, sample.golden_response);
    for (const turn of sample.turns) texts.push(turn.user_query, turn.agent_response);
  }
  return texts.filter(Boolean);
}

/** Yield, chunk by chunk, the numbers of the samples in which the pattern is found. `signal` ends it. */
async function* searchTexts(pattern, methods, signal) {
  const holds = (text) => text.search(pattern) >= 0;
  let from = 0; // samples stand in the order of their chunks
  while (from < index.samples.length) {
    const { chunk } = index.samples[from];
    const texts = await chunkOf(chunk);
    if (signal.aborted) return;
    const found = [];
    for (const [place, text] of texts.entries()) {
      const number = from + place;
      if (holds(index.samples[number].id) || textsOf(text, methods).some(holds)) found.push(number);
    }
    from += texts.length;
    yield { found, share: from / index.samples.length };
  }
}
