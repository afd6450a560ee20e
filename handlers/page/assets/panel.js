// What runs: speed, queue, memory, models, pulls. Each part is drawn again only when it has changed.

import { byId, drawing, element } from "./elements.js";
import { bytes, counted, moment, number, parameters, rate, span } from "./figures.js";
import { speeds } from "./status.js";

const KINDS = { llm: "language model", vlm: "vision model", embedding: "embedding model", reranker: "reranker" };
const parts = new Map();
let chosen = () => null;
let choose = () => {};

// `onChoose(id)` is called for a model that is picked, `current()` gives the one that the chat uses.
export function connect(onChoose, current) {
  choose = onChoose;
  chosen = current;
}

export function draw(status) {
  part("speed", null, () => speed());
  part("figures", [status.queue, status.memory, status.memory_limit, status.memory_pressure], () => overview(status));
  part("quarantined", status.quarantined, () => quarantined(status.quarantined));
  part("pulls", status.pulls, () => pulls(status.pulls));
  part("loaded", null, () => loaded(status));
  part("installed", [status.installed, chosen()], () => installed(status.installed));
}

function part(name, content, make) {
  const text = content === null ? null : JSON.stringify(content);
  let known = parts.get(name);
  if (!known) {
    known = { section: element("section", { id: `part-${name}` }), text: undefined };
    parts.set(name, known);
    byId("server").append(known.section);
  }
  if (text !== null && text === known.text) return;
  known.text = text;
  const focused = known.section.contains(document.activeElement) ? document.activeElement.dataset.name : null;
  const children = make();
  known.section.hidden = !children.length;
  known.section.replaceChildren(...children);
  if (focused) known.section.querySelector(`[data-name="${CSS.escape(focused)}"]`)?.focus();
}

function pairs(rows) {
  return element("dl", { className: "pairs" }, ...rows.filter(Boolean).flatMap(([name, value]) => [element("dt", {}, name), element("dd", {}, value)]));
}

function heading(text, beside = "") {
  return element("h2", {}, text, beside && element("span", {}, beside));
}

function speed() {
  const highest = Math.max(...speeds.generated, 1);
  const points = speeds.generated.map((value, index) => `${(index / (speeds.generated.length - 1)) * 100},${30 - (value / highest) * 27}`);
  const curve = drawing("svg", { viewBox: "0 0 100 32", preserveAspectRatio: "none", "aria-hidden": "true" },
    drawing("polyline", { class: "base", points: "0,30.5 100,30.5" }), drawing("polyline", { points: points.join(" ") }));
  const figure = element("p", {}, element("b", { id: "speed" }, rate(speeds.now)), element("span", { className: "soft" }, " tokens/s"));
  const reading = speeds.prompt > 0 ? `reads ${rate(speeds.prompt)} tokens/s` : "";
  return [heading("Speed", reading), element("div", { className: "speed" }, figure, curve)];
}

function overview(status) {
  const { queue, memory, memory_limit: limit, memory_pressure: pressure } = status;
  const waits = queue.waiting ? `${number(queue.waiting)} waiting, at most ${number(queue.limit)} a model` : "none waiting";
  const held = limit ? `${bytes(memory)} of ${bytes(limit)}` : bytes(memory);
  return [
    pairs([["Requests", `${number(queue.running)} running, ${waits}`], ["Memory of models", held], pressure !== "normal" && ["Memory pressure", pressure]]),
    ...(limit ? [element("progress", { max: limit, value: Math.min(memory, limit), "aria-label": "Memory of models" })] : []),
  ];
}

function quarantined(models) {
  if (!models.length) return [];
  return [heading("In quarantine"), ...models.map((one) => element("div", { className: "card" }, element("h3", {}, one.name),
    element("p", {}, `${one.reason}; tried again at ${moment(one.until, Date.now() / 1000)}`)))];
}

function pulls(running) {
  if (!running.length) return [];
  return [heading("Pulls"), ...running.map((one) => {
    const share = one.total ? one.completed / one.total : null;
    const bar = element("progress", { "aria-label": one.name, max: 1, ...(share === null ? {} : { value: share }) });
    const told = share === null ? one.status : `${Math.floor(share * 100)} % of ${bytes(one.total)}, ${one.status}`;
    return element("div", { className: "card pull" }, element("h3", {}, one.work === "quantize" ? `${one.name}, quantized` : one.name), bar, element("p", {}, told));
  })];
}

function loaded(status) {
  if (!status.loaded.length) return [heading("In memory"), element("p", { className: "soft" }, "No model. One is loaded when it is first asked.")];
  return [heading("In memory"), ...status.loaded.map((one) => {
    const leaves = one.expires_at === null ? "stays" : `unloaded in ${span(one.expires_at - status.time)}`;
    const busy = one.running || one.waiting;
    const generates = one.kind === "llm" || one.kind === "vlm";
    return element("div", { className: "card loaded" }, element("h3", {}, one.name),
      element("p", {}, `On ${one.backend}, ${busy ? `${number(one.running)} running, ${number(one.waiting)} waiting` : leaves}`),
      pairs([["Memory", `${bytes(one.memory)} of ${bytes(one.share)}`], generates && ["Prefix cache", prefixes(one)],
        generates && ["Not read again", counted(one.prefix_tokens, "token")], generates && ["Context", counted(one.context_length, "token")]]));
  })];
}

function prefixes(one) {
  const kept = [one.prefix_memory && bytes(one.prefix_memory), one.prefix_disk && `${bytes(one.prefix_disk)} on disk`];
  return kept.filter(Boolean).join(", ") || "empty";
}

function installed(models) {
  if (!models.length) {
    return [heading("Installed"), element("p", { className: "soft" }, "No model yet. In a terminal on the server:"), element("pre", {}, "mlx-serve pull starter")];
  }
  const talks = (one) => one.capabilities.includes("completion");
  const sorted = [...models.filter(talks), ...models.filter((one) => !talks(one))];
  const list = element("ul", { className: "models" }, ...sorted.map((one) => {
    const chats = talks(one);
    const about = [bytes(one.size), one.quantization, parameters(one.parameters), one.kind === "llm" ? null : KINDS[one.kind]];
    const button = element("button", { type: "button", disabled: !chats, "aria-pressed": String(one.id === chosen()) },
      element("b", {}, one.id), element("small", {}, about.filter(Boolean).join(" · ")));
    button.dataset.name = one.id;
    button.addEventListener("click", () => choose(one.id));
    return element("li", {}, button);
  }));
  return [heading("Installed", counted(models.length, "model")), list];
}
