// What a request says beside its messages: system prompt, thinking, sampling, length and tools.

import { byId, element } from "./elements.js";

const EXAMPLE = [
  {
    type: "function",
    function: {
      name: "get_weather",
      description: "The weather in a place now",
      parameters: { type: "object", properties: { city: { type: "string" } }, required: ["city"] },
    },
  },
];
let fields;

export function build() {
  const thinking = element("select", { id: "thinking" }, ...[["", "as the model does"], ["true", "on"], ["false", "off"]].map(([value, name]) => element("option", { value }, name)));
  fields = {
    system: element("textarea", { rows: 2, placeholder: "None but the model's own" }),
    thinking,
    temperature: element("input", { type: "number", min: 0, max: 2, step: 0.1, placeholder: "the model's own" }),
    length: element("input", { type: "number", min: 1, step: 1, placeholder: "no limit", inputMode: "numeric" }),
    tools: element("textarea", { id: "tools-json", rows: 3, spellcheck: false, placeholder: "A JSON list of tools, as in OpenAI's API" }),
  };
  const fill = element("button", { type: "button", className: "quiet" }, "Example");
  fill.addEventListener("click", () => {
    fields.tools.value = JSON.stringify(EXAMPLE, null, 1);
    fields.tools.focus();
  });
  const label = (text, field) => element("label", {}, text, field);
  const wide = label("System prompt", fields.system);
  wide.className = "wide";
  byId("options").append(wide, label("Thinking", thinking), label("Temperature", fields.temperature), label("Longest answer, in tokens", fields.length),
    element("div", { className: "wide", id: "tools-part" }, element("div", { className: "row" }, element("label", { htmlFor: "tools-json" }, "Tools"), fill), fields.tools));
  const button = byId("show-options");
  button.addEventListener("click", () => show(byId("options").hidden));
}

export function show(open) {
  byId("options").hidden = !open;
  byId("show-options").setAttribute("aria-expanded", String(open));
  if (open) fields.system.focus();
}

// What the chosen model cannot do is not offered.
export function fit(capabilities) {
  fields.thinking.parentElement.hidden = !capabilities.includes("thinking");
  byId("tools-part").hidden = !capabilities.includes("tools");
}

export function systemPrompt() {
  return fields.system.value.trim();
}

// The fields of a request. Raises Error with a sentence for what is not valid.
export function asked() {
  const request = {};
  if (fields.thinking.value && !fields.thinking.parentElement.hidden) request.chat_template_kwargs = { enable_thinking: fields.thinking.value === "true" };
  for (const [field, name, label] of [[fields.temperature, "temperature", "Temperature"], [fields.length, "max_tokens", "Longest answer"]]) {
    if (!field.validity.valid) throw new Error(`${label}: ${field.validationMessage}`);
    if (field.value) request[name] = Number(field.value);
  }
  const tools = byId("tools-part").hidden ? "" : fields.tools.value.trim();
  if (tools) {
    try {
      request.tools = JSON.parse(tools);
    } catch (error) {
      throw new Error(`The tools are not JSON: ${error.message}`);
    }
    if (!Array.isArray(request.tools)) throw new Error("The tools must be a JSON list: [ … ].");
  }
  return request;
}
