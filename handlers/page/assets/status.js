// The daemon's figures, asked for while the page is seen: each second while something happens, else every three.

import { call, Refusal } from "./daemon.js";

const BUSY_MS = 1000;
const QUIET_MS = 3000;
const KEPT = 60;

const listeners = [];
const counts = new Map();
let before = 0;
let timer = 0;
let running = false;
let failures = 0;

export let latest = null;
export const speeds = { generated: Array(KEPT).fill(0), now: 0, prompt: 0 };

// `listener(status, problem)`: one of them is null.
export function subscribe(listener) {
  listeners.push(listener);
}

export async function refresh() {
  if (running) return;
  running = true;
  clearTimeout(timer);
  try {
    const answer = await call("page/status");
    latest = await answer.json();
    failures = 0;
    measure(latest);
    for (const listener of listeners) listener(latest, null);
  } catch (error) {
    failures += 1;
    for (const listener of listeners) listener(null, error);
    if (!(error instanceof Refusal || error instanceof TypeError)) throw error;
  } finally {
    running = false;
    if (!document.hidden) timer = setTimeout(refresh, pause());
  }
}

function pause() {
  if (failures) return Math.min(QUIET_MS * failures, 30000);
  const busy = latest.queue.running || latest.queue.waiting || latest.pulls.length || speeds.now;
  return busy ? BUSY_MS : QUIET_MS;
}

// Tokens since the last look, of all models. A model that was loaded again counts from nothing.
function measure(status) {
  const elapsed = status.time - before;
  let generated = 0;
  let prompt = 0;
  const seen = new Set();
  for (const model of status.loaded) {
    const name = `${model.name} ${model.loaded_at}`;
    seen.add(name);
    const last = counts.get(name) ?? (before ? [0, 0] : [model.generated_tokens, model.prompt_tokens]);
    generated += Math.max(0, model.generated_tokens - last[0]);
    prompt += Math.max(0, model.prompt_tokens - last[1]);
    counts.set(name, [model.generated_tokens, model.prompt_tokens]);
  }
  for (const name of counts.keys()) if (!seen.has(name)) counts.delete(name);
  speeds.now = before && elapsed > 0 ? generated / elapsed : 0;
  speeds.prompt = before && elapsed > 0 ? prompt / elapsed : 0;
  speeds.generated.push(speeds.now);
  if (speeds.generated.length > KEPT) speeds.generated.shift();
  before = status.time;
}

document.addEventListener("visibilitychange", () => {
  clearTimeout(timer);
  if (!document.hidden) refresh();
});
