// What the npm package `ollama` makes of a daemon, as one JSON document: node ollama.mjs PACKAGES URL LOCKED KEY
import { createRequire } from "node:module";

const [folder, url, locked, key] = process.argv.slice(2);
const { Ollama } = createRequire(`${folder}/package.json`)("ollama");
const client = new Ollama({ host: url });
const messages = [{ role: "user", content: "hi" }];
const parameters = { type: "object", properties: { city: { type: "string" } }, required: ["city"] };
const tools = [{ type: "function", function: { name: "weather", description: "The weather of a city.", parameters } }];
const format = {
  type: "object", properties: { city: { type: "string" }, days: { type: "integer" } }, required: ["city", "days"],
};
const failure = async (asked) => {
  try {
    await asked;
  } catch (error) {
    return { kind: error.name, status: error.status_code, said: error.message };
  }
  return null;
};
const bearer = (token) => new Ollama({ host: locked, headers: { Authorization: `Bearer ${token}` } });

const chat = await client.chat({ model: "sentence", messages });
const parts = [];
for await (const part of await client.chat({ model: "thought", messages, stream: true, think: true })) parts.push(part);
const called = await client.chat({ model: "two-calls", messages, tools });
const results = called.message.tool_calls.map((call) => ({ role: "tool", content: "fine", tool_name: call.function.name }));
const ended = await client.chat({ model: "two-calls", messages: [...messages, called.message, ...results], tools });
const json = await client.chat({ model: "json", messages, format });
const generated = await client.generate({ model: "sentence", prompt: "hi" });
const vectors = await client.embed({ model: "starter-embed", input: ["a cat", "a dog"] });
const listed = await client.list();
const shown = await client.show({ model: "two-calls" });
const running = await client.ps();
const pulled = [];
for await (const part of await client.pull({ model: "starter", stream: true })) pulled.push(part.status);
await client.copy({ source: "sentence", destination: "from-npm" });
const copied = (await client.list()).models.map((model) => model.name).includes("from-npm:latest");
await client.delete({ model: "from-npm" });
const left = new Ollama({ host: url });
const endless = await left.generate({ model: "starter", prompt: "hi", stream: true, options: { num_predict: 200 } });
let aborted = null;
try {
  for await (const _ of endless) left.abort();
} catch (error) {
  aborted = error.name;
}

console.log(JSON.stringify({
  chat: chat.message.content,
  done: [chat.done, chat.done_reason, chat.eval_count > 0],
  thinking: parts.map((part) => part.message.thinking ?? "").join(""),
  content: parts.map((part) => part.message.content).join(""),
  called: called.message.tool_calls.map((call) => call.function),
  ended: ended.message.content,
  json: JSON.parse(json.message.content),
  generated: generated.response,
  vectors: vectors.embeddings.map((row) => row.length),
  listed: listed.models.map((model) => model.name),
  capabilities: shown.capabilities,
  running: running.models.map((model) => model.name),
  pulled,
  copied,
  aborted,
  unknown: await failure(client.chat({ model: "nobody", messages })),
  wrong: await failure(client.chat({ model: "sentence", messages, options: { top_p: 7 } })),
  key: await failure(bearer("a-key-that-is-wrong").list()),
  right: await failure(bearer(key).list()),
}));
