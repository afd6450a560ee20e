// One answer as it comes: thoughts, text, calls of tools, and what it took.

import { element } from "./elements.js";
import { number, rate, seconds } from "./figures.js";
import { blocks, rendered } from "./markdown.js";

export class Answer {
  constructor(model, waiting) {
    this.text = "";
    this.thought = "";
    this.calls = [];
    this._began = performance.now();
    this._first = this._last = this._thoughtEnd = null;
    this._usage = null;
    this._sources = [];
    this._frame = 0;
    this._waiting = element("p", { className: "waiting" }, waiting);
    this._prose = element("div", { className: "prose" });
    this._thoughtText = element("div");
    this._thoughtTitle = element("summary", {}, "Thinking…");
    this._thought = element("details", { className: "thought", open: true, hidden: true }, this._thoughtTitle, this._thoughtText);
    this._calls = element("div");
    this._foot = element("div", { className: "figures" });
    this.node = element("article", { className: "answer", "aria-busy": "true" }, element("h2", { className: "who" }, model),
      this._waiting, this._thought, this._prose, this._calls, this._foot);
  }

  wait(text) {
    if (this._first === null) this._waiting.textContent = text;
  }

  // A record of /v1/chat/completions.
  add(record) {
    if (record.usage) this._usage = record.usage;
    const delta = record.choices?.[0]?.delta ?? {};
    if (delta.reasoning_content) this.thought += delta.reasoning_content;
    if (delta.content) {
      if (this.thought && this._thoughtEnd === null) this._endThought();
      this.text += delta.content;
    }
    for (const part of delta.tool_calls ?? []) this._addCall(part);
    if (delta.reasoning_content || delta.content || delta.tool_calls) {
      this._first ??= performance.now();
      this._last = performance.now();
      this._frame ||= requestAnimationFrame(() => this._draw());
    }
  }

  _addCall(part) {
    const call = (this.calls[part.index] ??= { id: "", name: "", arguments: "" });
    if (part.id) call.id = part.id;
    if (part.function?.name) call.name = part.function.name;
    call.arguments += part.function?.arguments ?? "";
  }

  _endThought() {
    this._thoughtEnd = performance.now();
    this._thought.open = false;
  }

  _draw() {
    this._frame = 0;
    this._waiting.hidden = this._first !== null;
    if (this.thought) {
      const end = this._thoughtEnd ?? this._last;
      this._thought.hidden = false;
      this._thoughtTitle.textContent = this._thoughtEnd === null ? "Thinking…" : `Thought for ${seconds((end - this._first) / 1000)}`;
      this._thoughtText.textContent = this.thought.trim();
    }
    this._drawProse();
    this._drawCalls();
    this.onDraw?.();
  }

  // Only the blocks that have changed: the last one, as a rule.
  _drawProse() {
    const found = blocks(this.text);
    let same = 0;
    while (same < found.length && this._sources[same] === found[same].source) same += 1;
    while (this._prose.childElementCount > same) this._prose.lastElementChild.remove();
    this._prose.append(...found.slice(same).map(rendered));
    this._sources = found.map((block) => block.source);
  }

  _drawCalls() {
    this.calls.forEach((call, index) => {
      let card = this._calls.children[index];
      if (!card) {
        card = element("div", { className: "call" }, element("h3", {}, "Calls ", element("code")), element("pre", { tabIndex: 0 }));
        this._calls.append(card);
      }
      card.querySelector("h3 code").textContent = call.name;
      card.querySelector("pre").textContent = pretty(call.arguments);
    });
  }

  // `how`: null, or what ended it early.
  finish(how) {
    cancelAnimationFrame(this._frame);
    if (this.thought && this._thoughtEnd === null) {
      this._thoughtEnd = this._last;
      this._thought.open = !this.text && !this.calls.length;
    }
    this._draw();
    this._waiting.hidden = true;
    this.node.setAttribute("aria-busy", "false");
    const told = [how, ...this._figures()].filter(Boolean).map((text) => element("span", {}, text));
    if (this.text) told.push(this._copy());
    this._foot.replaceChildren(...told);
  }

  _figures() {
    const usage = this._usage;
    if (!usage) return [];
    const taken = (this._last - this._first) / 1000;
    const cached = usage.prompt_tokens_details?.cached_tokens ?? 0;
    return [
      `${number(usage.completion_tokens)} tokens`,
      usage.completion_tokens > 1 && taken > 0 && `${rate((usage.completion_tokens - 1) / taken)} tokens/s`,
      this._first !== null && `first after ${seconds((this._first - this._began) / 1000)}`,
      `prompt ${number(usage.prompt_tokens)}${cached ? `, ${number(cached)} from the cache` : ""}`,
    ];
  }

  _copy() {
    const button = element("button", { type: "button", className: "quiet" }, "Copy");
    button.addEventListener("click", async () => {
      try {
        await navigator.clipboard.writeText(this.text);
        button.textContent = "Copied";
      } catch {
        getSelection().selectAllChildren(this._prose);
        button.textContent = "Press Ctrl+C";
      }
    });
    return button;
  }

  fail(message, again) {
    this.finish(null);
    const button = element("button", { type: "button" }, "Try again");
    button.addEventListener("click", again);
    this.node.append(element("div", { className: "problem", role: "alert" }, element("p", {}, message), button));
  }

  // Fields for the results of the calls; `send(results)` gets a text for each.
  askForResults(send) {
    const fields = this.calls.map((call, index) => {
      const field = element("textarea", { rows: 2, placeholder: "What the tool gives back" });
      this._calls.children[index].append(element("label", {}, `Result of ${call.name}`, field));
      return field;
    });
    const button = element("button", { type: "button" }, fields.length > 1 ? "Send the results" : "Send the result");
    button.addEventListener("click", () => {
      for (const field of fields) field.readOnly = true;
      button.remove();
      send(fields.map((field) => field.value));
    });
    this._calls.append(button);
  }
}

function pretty(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}
