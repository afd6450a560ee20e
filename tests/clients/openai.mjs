// What the npm package `openai` makes of a daemon, as one JSON document: node openai.mjs PACKAGES URL LOCKED KEY
import { createRequire } from "node:module";

const [folder, url, locked, key] = process.argv.slice(2);
const OpenAI = createRequire(`${folder}/package.json`)("openai");
const open = (base, apiKey) => new OpenAI({ baseURL: `${base}/v1`, apiKey, maxRetries: 0, timeout: 60000 });
const client = open(url, "none");
const hi = [{ role: "user", content: "hi" }];
const parameters = { type: "object", properties: { city: { type: "string" } }, required: ["city"] };
const weather = { name: "weather", description: "The weather of a city.", parameters };
const schema = {
  type: "object",
  properties: { city: { type: "string" }, days: { type: "integer" } },
  required: ["city", "days"],
  additionalProperties: false,
};
const failure = async (asked) => {
  try {
    await asked;
  } catch (error) {
    return { kind: error.constructor.name, status: error.status, param: error.param ?? null, code: error.code ?? null };
  }
  return null;
};
const joined = async (stream, part) => {
  const parts = [];
  for await (const each of stream) parts.push(part(each) ?? "");
  return parts.join("");
};

const chat = await client.chat.completions.create({ model: "sentence", messages: hi });
const streamed = await client.chat.completions.create({
  model: "sentence", messages: hi, stream: true, stream_options: { include_usage: true },
});
const text = await joined(streamed, (chunk) => chunk.choices[0]?.delta.content);
const helper = client.chat.completions.stream({ model: "thought", messages: hi });
const thought = await joined(helper, (chunk) => chunk.choices[0]?.delta.reasoning_content);
const cities = [];
const runner = client.chat.completions.runTools({
  model: "two-calls",
  messages: hi,
  stream: true,
  tools: [{
    type: "function",
    function: {
      ...weather,
      parse: JSON.parse,
      function: async ({ city }) => { cities.push(city); return `fine in ${city}`; },
    },
  }],
});
const ran = await runner.finalContent();
const parsed = await client.chat.completions.parse({
  model: "json", messages: hi, response_format: { type: "json_schema", json_schema: { name: "trip", schema, strict: true } },
});
const response = await client.responses.create({ model: "sentence", input: "hi" });
const events = client.responses.stream({ model: "two-calls", input: "hi", tools: [{ type: "function", ...weather }] });
const final = await events.finalResponse();
const kept = await client.responses.retrieve(response.id);
const vectors = await client.embeddings.create({ model: "starter-embed", input: ["a cat", "a dog"] });
const models = [];
for await (const model of client.models.list()) models.push(model.id);
const left = await client.chat.completions.create({ model: "starter", messages: hi, stream: true });
for await (const _ of left) break;

console.log(JSON.stringify({
  chat: chat.choices[0].message.content,
  finish: chat.choices[0].finish_reason,
  usage: chat.usage,
  streamed: text,
  thought,
  content: (await helper.finalMessage()).content,
  cities,
  ran,
  parsed: parsed.choices[0].message.parsed ?? JSON.parse(parsed.choices[0].message.content),
  response: response.output_text,
  called: final.output.filter((item) => item.type === "function_call").map((item) => JSON.parse(item.arguments)),
  kept: kept.output_text ?? kept.output[0].content[0].text,
  vectors: vectors.data.map((row) => row.embedding.length),
  models,
  unknown: await failure(client.chat.completions.create({ model: "nobody", messages: hi })),
  wrong: await failure(client.chat.completions.create({ model: "sentence", messages: hi, temperature: 7 })),
  long: await failure(client.responses.create({ model: "reader", input: "x".repeat(70000) })),
  key: await failure(open(locked, "a-key-that-is-wrong").models.list()),
  right: await failure(open(locked, key).models.list()),
}));
