// The conversation: what was said, the request under way, and what the keyboard does.

import { Answer } from "./answer.js";
import { call, records, Refusal } from "./daemon.js";
import { byId, element } from "./elements.js";
import * as options from "./options.js";
import * as pictures from "./pictures.js";
import * as status from "./status.js";

const MODEL = "mlx-serve-model";
const NEAR_PIXELS = 60;

let models = [];
let messages = [];
let running = null;
let following = true;
let unanswered = false; // the last message got an error

export function connect() {
  options.build();
  pictures.connect(notice);
  const question = byId("question");
  byId("composer").addEventListener("submit", (event) => {
    event.preventDefault();
    send();
  });
  question.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    send();
  });
  question.addEventListener("input", fitQuestion);
  byId("stop").addEventListener("click", stop);
  byId("clear").addEventListener("click", clear);
  byId("model").addEventListener("change", () => choose(byId("model").value));
  byId("messages").addEventListener("scroll", () => {
    const list = byId("messages");
    following = list.scrollHeight - list.scrollTop - list.clientHeight < NEAR_PIXELS;
  });
  document.addEventListener("keydown", (event) => {
    if (byId("key-dialog").open || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "Escape") {
      if (running) stop();
      else if (!byId("options").hidden) options.show(false);
      else return;
      question.focus();
    }
    if (event.key === "/" && !/^(INPUT|TEXTAREA|SELECT)$/.test(document.activeElement.tagName)) {
      event.preventDefault();
      question.focus();
    }
  });
  question.focus();
}

// The installed models have changed.
export function offer(installed, loaded) {
  const inMemory = loaded.find((model) => installed.some((one) => one.id === model.name && one.capabilities.includes("completion")));
  const before = byId("model").value || sessionStorage.getItem(MODEL) || inMemory?.name;
  models = installed.filter((model) => model.capabilities.includes("completion"));
  byId("model").replaceChildren(...models.map((model) => element("option", { value: model.id }, model.id)));
  choose(models.some((model) => model.id === before) ? before : (models[0]?.id ?? ""));
}

export function chosen() {
  return byId("model").value || null;
}

export function choose(id) {
  byId("model").value = id;
  byId("model").hidden = !models.length;
  const capabilities = models.find((model) => model.id === id)?.capabilities ?? [];
  if (id) sessionStorage.setItem(MODEL, id);
  options.fit(capabilities);
  pictures.allow(capabilities.includes("vision"));
  if (!messages.length) greet();
  show();
}

function greet() {
  const about = models.length
    ? [element("h2", {}, `Ask ${chosen()}`), element("p", {}, element("kbd", {}, "Enter"), " sends, ", element("kbd", {}, "Shift Enter"), " makes a new line, ", element("kbd", {}, "Esc"), " stops the answer.")]
    : [element("h2", {}, "No model to chat with yet"), element("p", {}, "In a terminal on the server:"), element("pre", {}, "mlx-serve pull starter")];
  byId("messages").replaceChildren(element("div", { className: "empty" }, ...about));
}

// Which buttons there are now.
function show() {
  byId("send").hidden = running !== null;
  byId("send").disabled = !models.length;
  byId("stop").hidden = running === null;
  byId("clear").hidden = !messages.length;
}

function notice(text) {
  byId("notice").textContent = text;
}

function fitQuestion() {
  const question = byId("question");
  question.style.height = "auto";
  question.style.height = `${question.scrollHeight}px`;
}

function put(node) {
  if (byId("messages").querySelector(".empty")) byId("messages").replaceChildren();
  byId("messages").append(node);
  follow(true);
}

function follow(always = false) {
  const list = byId("messages");
  if (following || always) list.scrollTop = list.scrollHeight;
}

function send() {
  const text = byId("question").value.trim();
  if (running || !chosen()) return;
  notice("");
  let request;
  try {
    request = options.asked();
  } catch (error) {
    notice(error.message);
    return;
  }
  const shown = pictures.take();
  if (!text && !shown.length) return;
  if (unanswered) messages.pop();
  unanswered = false;
  const parts = shown.map((picture) => ({ type: "image_url", image_url: { url: picture.url } }));
  messages.push({ role: "user", content: parts.length ? [...parts, ...(text ? [{ type: "text", text }] : [])] : text });
  const images = shown.map((picture) => element("li", {}, element("img", { src: picture.url, alt: picture.name })));
  put(element("article", { className: "mine" }, images.length ? element("ul", {}, ...images) : null, text ? element("p", { className: "text" }, text) : null));
  byId("question").value = "";
  fitQuestion();
  ask(request);
}

async function ask(request) {
  const model = chosen();
  const answer = new Answer(model, waits(model));
  answer.onDraw = () => follow();
  const aborted = new AbortController();
  const told = () => answer.wait(waits(model));
  running = { answer, aborted, told };
  put(answer.node);
  show();
  const system = options.systemPrompt();
  const sent = readable(model);
  const without = sent === messages ? null : "without the earlier pictures, which it does not see";
  const body = { model, messages: system ? [{ role: "system", content: system }, ...sent] : sent, stream: true, stream_options: { include_usage: true }, ...request };
  const again = () => {
    if (running) return;
    answer.node.remove();
    ask(request);
  };
  setTimeout(status.refresh, 300);
  unanswered = false;
  try {
    const reply = await call("v1/chat/completions", {
      method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body), signal: aborted.signal, wanted: true,
    });
    for await (const record of records(reply)) answer.add(record);
    keep(answer);
    answer.finish(without);
    if (answer.calls.length) answer.askForResults((results) => giveResults(answer, results, request));
  } catch (error) {
    if (aborted.signal.aborted) {
      keep(answer);
      answer.finish("stopped");
    } else if (error instanceof Refusal || error instanceof TypeError) {
      unanswered = messages.at(-1).role === "user";
      answer.fail(error instanceof Refusal ? error.message : "The server cannot be reached. Is mlx-serve still running?", again);
    } else throw error;
  } finally {
    running = null;
    show();
    follow();
    status.refresh();
  }
}

// The conversation as this model can take it.
function readable(model) {
  const sees = models.find((one) => one.id === model)?.capabilities.includes("vision");
  if (sees || !messages.some((message) => Array.isArray(message.content))) return messages;
  const words = (content) => content.filter((part) => part.type === "text").map((part) => part.text).join("\n");
  return messages.map((message) => (Array.isArray(message.content) ? { ...message, content: words(message.content) } : message));
}

function waits(model) {
  const held = status.latest?.loaded.find((one) => one.name === model);
  if (!held) return "Loading the model…";
  return held.waiting ? "Waiting for its turn…" : "Reading the prompt…";
}

// A call that was not finished is no part of what comes next.
function keep(answer) {
  const calls = answer.calls.filter((one) => one?.id);
  const complete = calls.every((one) => one.name && isJson(one.arguments));
  const message = { role: "assistant", content: answer.text };
  if (calls.length && complete) {
    message.tool_calls = calls.map((one) => ({ id: one.id, type: "function", function: { name: one.name, arguments: one.arguments } }));
    if (answer.thought) message.reasoning_content = answer.thought;
  }
  if (answer.text || message.tool_calls) messages.push(message);
}

function isJson(text) {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

function giveResults(answer, results, request) {
  answer.calls.forEach((one, index) => {
    messages.push({ role: "tool", tool_call_id: one.id, name: one.name, content: results[index] });
  });
  ask(request);
}

function stop() {
  running?.aborted.abort();
  byId("question").focus();
}

// The daemon's figures are new.
export function told() {
  running?.told();
}

function clear() {
  stop();
  messages = [];
  notice("");
  greet();
  show();
  byId("question").focus();
}
