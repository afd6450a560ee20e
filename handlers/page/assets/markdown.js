// A little Markdown, as elements: code, headings, lists, tables, quotes, emphasis. Everything else is the text that it
// is: HTML, links and pictures of a model's too. Each expression takes time in proportion to the text's length.

import { element } from "./elements.js";

const FENCE = /^ {0,3}(`{3,}|~{3,})[^`]*$/;
const HEADING = /^ {0,3}(#{1,6}) +(.*)$/;
const RULE = /^ {0,3}([-*_])( *\1){2,} *$/;
const BULLET = /^( {0,8})[-*+] +(.*)$/;
const NUMBER = /^( {0,8})(\d{1,9})[.)] +(.*)$/;
const QUOTE = /^ {0,3}> ?(.*)$/;
const LONGEST_LINE = 20000; // longer ones are shown as they are

// The blocks of a text, each with the source that it was made from.
export function blocks(text) {
  const lines = text.replaceAll("\r\n", "\n").split("\n");
  const found = [];
  let at = 0;
  while (at < lines.length) {
    if (!lines[at].trim()) {
      at += 1;
      continue;
    }
    const [kind, end] = extent(lines, at);
    found.push({ kind, source: lines.slice(at, end).join("\n") });
    at = end;
  }
  return found;
}

function extent(lines, at) {
  const fence = FENCE.exec(lines[at]);
  if (fence) {
    let end = at + 1;
    while (end < lines.length && !closes(lines[end], fence[1])) end += 1;
    return ["code", Math.min(end + 1, lines.length)];
  }
  if (HEADING.test(lines[at])) return ["heading", at + 1];
  if (RULE.test(lines[at])) return ["rule", at + 1];
  if (QUOTE.test(lines[at])) return ["quote", run(lines, at, (line) => QUOTE.test(line))];
  if (BULLET.test(lines[at]) || NUMBER.test(lines[at])) {
    return ["list", run(lines, at, (line) => !FENCE.test(line) && (BULLET.test(line) || NUMBER.test(line) || /^ {2,}\S/.test(line)))];
  }
  if (lines[at].includes("|") && divides(lines[at + 1] ?? "")) return ["table", run(lines, at, (line) => line.includes("|"))];
  return ["text", run(lines, at, (line, index) => line.trim() && (index === at || !starts(line)))];
}

function run(lines, at, belongs) {
  let end = at;
  while (end < lines.length && belongs(lines[end], end)) end += 1;
  return end;
}

function starts(line) {
  return [FENCE, HEADING, RULE, QUOTE, BULLET].some((form) => form.test(line));
}

function divides(line) {
  return /^[-:| ]+$/.test(line) && line.includes("-") && line.includes("|");
}

function closes(line, fence) {
  const bare = line.trim();
  return bare.length >= fence.length && bare === fence[0].repeat(bare.length);
}

export function rendered({ kind, source }) {
  const lines = source.split("\n");
  if (kind === "code") {
    const fence = FENCE.exec(lines[0])[1];
    const closed = lines.length > 1 && closes(lines.at(-1), fence);
    return element("pre", { tabIndex: 0 }, element("code", {}, lines.slice(1, closed ? -1 : undefined).join("\n")));
  }
  if (kind === "heading") {
    const [, marks, text] = HEADING.exec(source);
    return element(`h${Math.min(4, marks.length + 1)}`, {}, ...inline(text.replace(/ #+ *$/, "")));
  }
  if (kind === "rule") return element("hr");
  if (kind === "quote") return element("blockquote", {}, ...inline(lines.map((line) => QUOTE.exec(line)[1]).join("\n")));
  if (kind === "list") return list(lines);
  if (kind === "table") return table(lines);
  return element("p", {}, ...inline(source));
}

// Nested by the width of what stands before the mark.
function list(lines) {
  const stack = [];
  let root = null;
  for (const line of lines) {
    const match = BULLET.exec(line) ?? NUMBER.exec(line);
    if (!match) {
      stack.at(-1).item.append("\n", ...inline(line.trim()));
      continue;
    }
    const depth = match[1].length;
    while (stack.length > 1 && depth < stack.at(-1).depth) stack.pop();
    if (!stack.length || depth > stack.at(-1).depth + 1) {
      const made = match.length === 4 ? element("ol", { start: Number(match[2]) }) : element("ul");
      if (stack.length) stack.at(-1).item.append(made);
      root ??= made;
      stack.push({ depth, list: made, item: null });
    }
    const item = element("li", {}, ...inline(match.at(-1)));
    stack.at(-1).list.append(item);
    stack.at(-1).item = item;
  }
  return root;
}

function table(lines) {
  const row = (line, name) => element("tr", {}, ...line.trim().replace(/^\|/, "").replace(/\|$/, "").split("|").map((cell) => element(name, {}, ...inline(cell.trim()))));
  const body = lines.slice(2).map((line) => row(line, "td"));
  return element("div", { className: "table" }, element("table", {}, element("thead", {}, row(lines[0], "th")), element("tbody", {}, ...body)));
}

// `code`, **strong** and *emphasis*; marks without a partner are text. Underscores stay: names have them.
export function inline(text) {
  if (text.length > LONGEST_LINE) return [text];
  return text.split(/(`+)/).length < 3 ? emphasis(text) : code(text);
}

function code(text) {
  const pieces = text.split(/(`+)/);
  const partners = new Map();
  for (let index = pieces.length - 2; index > 0; index -= 2) {
    if (!partners.has(pieces[index])) partners.set(pieces[index], []);
    partners.get(pieces[index]).push(index);
  }
  const found = [];
  let plain = "";
  for (let index = 0; index < pieces.length; index += 1) {
    const waiting = index % 2 ? partners.get(pieces[index]) : null;
    while (waiting?.length && waiting.at(-1) <= index) waiting.pop();
    if (waiting?.length) {
      const end = waiting.at(-1);
      found.push(...emphasis(plain), element("code", {}, pieces.slice(index + 1, end).join("").trim()));
      plain = "";
      index = end;
    } else plain += pieces[index];
  }
  return [...found, ...emphasis(plain)];
}

function emphasis(text) {
  return text.split(/(\*\*[^\s*](?:[^*]*[^\s*])?\*\*|(?<!\*)\*[^\s*](?:[^*\n]*[^\s*])?\*(?!\*))/).filter(Boolean).map((part) => {
    if (part.length > 4 && part.startsWith("**") && part.endsWith("**")) return element("strong", {}, part.slice(2, -2));
    if (part.length > 2 && /^\*[^*]+\*$/.test(part)) return element("em", {}, part.slice(1, -1));
    return part;
  });
}
