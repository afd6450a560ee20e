// Requests to the daemon that this page came from, with its key, and its errors as sentences.

import { askForKey, storedKey } from "./key.js";

export class Refusal extends Error {
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

// An answer that is none of an error. `wanted`: the user waits for it, and is asked for a key. Raises Refusal, and
// what fetch raises.
export async function call(path, { wanted = false, ...options } = {}) {
  for (;;) {
    const key = storedKey();
    const headers = { ...options.headers, ...(key === null ? {} : { Authorization: `Bearer ${key}` }) };
    const answer = await fetch(path, { ...options, headers, cache: "no-store", credentials: "omit" });
    if (answer.ok) return answer;
    const message = await sentence(answer);
    if (answer.status !== 401 || (await askForKey(key, wanted)) === null) throw new Refusal(message, answer.status);
    options.signal?.throwIfAborted();
  }
}

async function sentence(answer) {
  const text = await answer.text();
  try {
    const { error } = JSON.parse(text);
    return typeof error === "string" ? error : error.message;
  } catch {
    return `The server answered with ${answer.status} ${answer.statusText}.`;
  }
}

// The records of a stream of server-sent events, until [DONE]. Raises Refusal where it ends before that, or with an error.
export async function* records(answer) {
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) throw new Refusal("The connection to the server ended in the middle of the answer.", 0);
    const lines = (rest + value).split("\n");
    rest = lines.pop();
    for (const line of lines) {
      if (!line.startsWith("data:")) continue;
      const data = line.slice(5).trim();
      if (data === "[DONE]") return;
      const record = JSON.parse(data);
      if (record.error) throw new Refusal(record.error.message ?? String(record.error), 0);
      yield record;
    }
  }
}
