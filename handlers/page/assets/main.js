// The page: the chat, the panel beside it, and the daemon's figures for both.

import * as chat from "./chat.js";
import { Refusal } from "./daemon.js";
import { byId } from "./elements.js";
import { moment } from "./figures.js";
import { forgetKey, storedKey } from "./key.js";
import * as panel from "./panel.js";
import * as status from "./status.js";

let offered = "";

function view(name) {
  document.body.dataset.view = name;
  byId("show-chat").setAttribute("aria-pressed", String(name === "chat"));
  byId("show-server").setAttribute("aria-pressed", String(name === "server"));
}

// Only what has changed, for a reader of screens hears it.
function connection(text, state) {
  const line = byId("connection");
  if (line.textContent !== text) line.textContent = text;
  line.className = state;
  byId("server").classList.toggle("stale", state === "ill"); // its figures are of some time ago
}

function problem(error) {
  if (!(error instanceof Refusal)) return "No connection. Is mlx-serve still running?";
  return error.status === 503 ? "The server is stopping." : error.message;
}

function pick(id) {
  chat.choose(id);
  view("chat");
  if (status.latest) panel.draw(status.latest);
  byId("question").focus();
}

panel.connect(pick, chat.chosen);
chat.connect();
byId("show-chat").addEventListener("click", () => view("chat"));
byId("show-server").addEventListener("click", () => view("server"));
byId("model").addEventListener("change", () => status.latest && panel.draw(status.latest));
byId("forget-key").addEventListener("click", () => {
  forgetKey();
  location.reload();
});

status.subscribe((latest, error) => {
  byId("forget-key").hidden = storedKey() === null;
  if (error) {
    connection(problem(error), "ill");
    return;
  }
  connection(`Running since ${moment(latest.started, latest.time)}`, "well");
  byId("version").textContent = latest.version;
  const installed = JSON.stringify(latest.installed);
  if (installed !== offered) {
    offered = installed;
    chat.offer(latest.installed, latest.loaded);
  }
  chat.told();
  panel.draw(latest);
});
status.refresh();
