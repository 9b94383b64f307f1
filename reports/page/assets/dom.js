// Elements made by hand. Text of a run goes through `textContent` or `append` alone, which never read it as HTML.
const byId = (id) => document.getElementById(id);

/** Make an element with properties and attributes; children are nodes or text, null is left out. */
function make(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name === "class") made.className = value;
    else if (name in made) made[name] = value;
    else made.setAttribute(name, value);
  }
  made.append(...children.filter((child) => child !== null));
  return made;
}

/** Return the language of a text where its script tells it; otherwise "", which is "unknown". */
function languageOf(text) {
  if (/[\u3040-\u30ff]/.test(text)) return "ja";
  if (/[\u1100-\u11ff\uac00-\ud7af]/.test(text)) return "ko";
  return /[\u4e00-\u9fff]/.test(text) ? "zh" : "";
}

const MOST_MARKS = 200; // of one text: a letter searched in a long text is not marked to its end

/** Make a block of a run's text, what `pattern` finds in it marked. */
function textBlock(text, pattern, className = "text") {
  const block = make("div", { class: className, dir: "auto", lang: languageOf(text) });
  let from = 0;
  let marks = 0;
  for (const found of pattern ? text.matchAll(pattern) : []) {
    if (marks === MOST_MARKS) break;
    block.append(text.slice(from, found.index), make("mark", {}, found[0]));
    from = found.index + found[0].length;
    marks += 1;
  }
  block.append(text.slice(from));
  return block;
}
