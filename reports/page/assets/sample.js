// One sample as it is read: what the method was given, the golden response, and what each method wrote.
const CONTRIBUTION = "Beside a method: what this sample adds to its R-EMI. A subset's mean of these is its R-EMI.";

/** Return a contribution to R-EMI as shown, in nats a token. */
function contributionText(value) {
  return value === null ? "–" : (value < 0 ? "−" : "+") + Math.abs(value).toFixed(4);
}

function endingText(reason) {
  return index.endings[reason ?? null] ?? `Ended by: ${reason}`;
}

/** Make a part that opens by itself only where something searched is in it. */
function collapsible(title, ...children) {
  const made = make("details", { class: "reasoning" }, make("summary", {}, title), ...children);
  made.open = made.querySelector("mark") !== null;
  return made;
}

function absent(sentence) {
  return make("p", { class: "absent" }, sentence);
}

function titled(title, ...children) {
  return make("section", {}, make("h3", {}, title), ...children);
}

/** Make a bar to the right of the middle for a positive contribution, to the left for a negative one. */
function bar(value, most) {
  const drawn = make("span", { class: value < 0 ? "below" : "above" });
  drawn.style.width = `${most ? (50 * Math.abs(value)) / most : 0}%`;
  return make("span", { class: "bars", "aria-hidden": "true" }, drawn);
}

function judgement([judge, metric, value, reason]) {
  const scored = value === null ? `not scored${reason ? `: ${reason}` : ""}` : String(value);
  return make("li", { dir: "auto" }, `${metric} by ${judge}: ${scored}`);
}

function answerCard(label, answer, judged, value, most, pattern) {
  const head = make("header", {}, make("h3", { dir: "auto" }, label));
  if (value !== null) {
    head.append(make("span", { class: "contribution" }, `${contributionText(value)} nats a token`), bar(value, most));
  }
  if (!answer) return make("article", { class: "card" }, head, absent("No response is stored."));
  const response = answer.response ? textBlock(answer.response, pattern) : absent("The response is empty.");
  return make(
    "article",
    { class: "card" },
    head,
    response,
    make("p", { class: "finish" }, endingText(answer.finish_reason)),
    judged.length ? make("ul", { class: "judged" }, ...judged.map(judgement)) : null,
    answer.reasoning ? collapsible("Reasoning", textBlock(answer.reasoning, pattern)) : null,
  );
}

function answerCards({ answers, judged }, number, pattern) {
  const values = index.contributions.map((ofMethod) => ofMethod[number]);
  const shown = [...state.methods].sort((one, other) => one - other);
  const most = Math.max(0, ...shown.map((method) => Math.abs(values[method] ?? 0)));
  return shown.map((method) =>
    answerCard(index.methods[method], answers[method], judged[method], values[method], most, pattern),
  );
}

function speech(speaker, text, className, pattern) {
  const name = make("bdi", { class: "speaker" }, speaker);
  return make("div", { class: `speech ${className}` }, name, textBlock(text, pattern));
}

function givenParts(sample, pattern) {
  const character = sample.agent_character;
  const fields = Object.entries(character).flatMap(([field, text]) => [
    make("dt", {}, index.fields[field] ?? field),
    make("dd", {}, textBlock(text, pattern)),
  ]);
  const turns = sample.turns.flatMap((turn) => [
    speech("User", turn.user_query, "user", pattern),
    speech(character.character_name, turn.agent_response, "agent", pattern),
  ]);
  const from = sample.source_sample_ids ?? [];
  return [
    titled("User persona", textBlock(sample.user_persona, pattern)),
    titled("Agent character", make("dl", { class: "character" }, ...fields)),
    titled("Dialogue", ...turns, speech("User", sample.last_query, "user", pattern)),
    from.length ? titled("Composed from", make("p", {}, from.join(", "))) : null,
  ];
}

function written(text, pattern) {
  return text ? textBlock(text, pattern) : absent("Nothing.");
}

function estimatorsReasoning(row, pattern) {
  if (!row) return null;
  const isPart = typeof row.shown === "string" && row.shown !== row.reasoning;
  return collapsible(
    "Reasoning of the estimator",
    written(row.reasoning, pattern),
    make("p", { class: "finish" }, endingText(row.finish_reason)),
    isPart ? titled("What of it the estimator was shown", written(row.shown, pattern)) : null,
  );
}

/** Make a sample's title, its place among those listed and the ways on from here. */
function sampleHead(number) {
  const { id, subset } = index.samples[number];
  const position = listed.indexOf(number);
  const count = listed.length.toLocaleString("en");
  const place = position < 0 ? "not among those listed" : `${position + 1} of ${count} listed`;
  const of = index.subsets[subset];
  const counted = index.contributions.some((ofMethod) => ofMethod[number] !== null);
  const button = (text, rows) => make("button", { type: "button", onclick: () => step(rows) }, text);
  const link = make("a", { href: addressOf(number) }, "Link to this sample");
  return make(
    "header",
    { class: "head" },
    make("h2", { dir: "auto" }, id),
    make("p", {}, `${of.shift}, ${of.name}, ${place}`),
    counted ? absent(CONTRIBUTION) : null,
    make("p", {}, button("Previous", -1), " ", button("Next", 1), " ", link),
  );
}

/** Return the parts of a sample in the order in which they are read. */
function drawSample(texts, number, pattern) {
  const { sample } = texts;
  const reasoning = estimatorsReasoning(texts.reasoning, pattern);
  const answers = make("div", { class: "answers" }, ...answerCards(texts, number, pattern));
  if (!sample) {
    return [sampleHead(number), absent("What the methods were given is not stored."), answers, reasoning ?? ""];
  }
  const golden = textBlock(sample.golden_response, pattern);
  answers.prepend(make("article", { class: "card golden" }, make("h3", {}, "Golden response"), golden));
  const given = make("div", {}, ...givenParts(sample, pattern), reasoning);
  return [sampleHead(number), make("div", { class: "columns" }, given, answers)];
}
