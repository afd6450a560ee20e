"use strict";

const METHODS = ["get", "post", "delete", "head"];
let api;

function element(name, properties = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (key in made) made[key] = value;
    else made.setAttribute(key, value);
  }
  made.append(...children.filter((child) => child !== null && child !== ""));
  return made;
}

// Text with `code` in it.
function prose(text) {
  return text.split(/(`[^`]+`)/).map((part) => (/^`.+`$/.test(part) ? element("code", {}, part.slice(1, -1)) : part));
}

function resolved(schema) {
  while (schema && schema.$ref) schema = schema.$ref.slice(2).split("/").reduce((node, key) => node[key], api);
  if (schema && schema.allOf && schema.allOf.length === 1) return { ...resolved(schema.allOf[0]), ...schema };
  return schema || {};
}

function called(schema) {
  return schema.$ref ? schema.$ref.split(".").pop() : null;
}

// Beyond what a number can hold exactly, as a power of two.
function figure(number) {
  return Math.abs(number) < 2 ** 53 ? String(number) : `${number < 0 ? "-" : ""}2^${Math.round(Math.log2(Math.abs(number)))}`;
}

function range(schema) {
  const least = schema.minimum ?? schema.exclusiveMinimum;
  const most = schema.maximum ?? schema.exclusiveMaximum;
  const above = schema.exclusiveMinimum !== undefined ? "above " : "";
  if (least !== undefined && most !== undefined) return ` ${above}${figure(least)} to ${figure(most)}`;
  if (least !== undefined) return ` ${above || "from "}${figure(least)}`;
  return most !== undefined ? ` to ${figure(most)}` : "";
}

function length(schema) {
  const most = schema.maxLength ?? schema.maxItems ?? schema.maxProperties;
  return most === undefined ? "" : ` (at most ${most})`;
}

// One line for a type.
function kind(schema) {
  if (schema.$ref) return called(schema);
  if (schema.allOf) return schema.allOf.map(kind).join(" and ");
  if (schema.anyOf) return schema.anyOf.map(kind).filter((name) => name !== "null").join(" or ");
  if (schema.enum) return schema.enum.filter((value) => value !== null).map((value) => JSON.stringify(value)).join(", ") || "null";
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  const types = [].concat(schema.type || []).filter((name) => name !== "null");
  if (!types.length) return schema.type ? "null" : "any";
  return types.map((name) => {
    if (name === "array") return `array${length(schema)}${schema.items ? ` of ${kind(schema.items)}` : ""}`;
    if (name === "number" || name === "integer") return name + range(schema);
    return name + length(schema);
  }).join(" or ");
}

// The objects in a type, whose fields can be shown.
function objects(schema) {
  const parts = schema.anyOf || schema.allOf || [schema];
  return parts.flatMap((part) => {
    const items = part.type === "array" || [].concat(part.type || []).includes("array") ? part.items : null;
    if (items) return objects(items);
    if (part.anyOf || (part.allOf && part !== schema)) return objects(part);
    return resolved(part).properties ? [part] : [];
  });
}

function fields(schema, above = []) {
  const whole = resolved(schema);
  const required = new Set(whole.required || []);
  const list = element("ul", { className: "fields" });
  const names = Object.keys(whole.properties || {}).sort((a, b) => required.has(b) - required.has(a));
  for (const name of names) list.append(field(name, whole.properties[name], required.has(name), above));
  return list;
}

function field(name, schema, required, above) {
  const item = element("li", {}, element("code", { className: "name" }, name), element("span", { className: "type" }, kind(schema)));
  if (required) item.append(element("span", { className: "mark required" }, "required"));
  if (schema["x-support"]) item.append(element("span", { className: `mark ${schema["x-support"]}` }, schema["x-support"]));
  const said = (schema.description || "").replace(/^(Partly|Ignored|Refused): /, "");
  if (said) item.append(element("p", {}, ...prose(said)));
  for (const inner of objects(schema)) {
    const known = called(inner);
    if (known && above.includes(known)) continue;
    item.append(later(known ? `fields of ${known}` : "fields", () => fields(inner, known ? [...above, known] : above)));
  }
  return item;
}

// What is made when it is first opened.
function later(title, make) {
  const opened = element("details", {}, element("summary", {}, title));
  opened.addEventListener("toggle", () => opened.childElementCount === 1 && opened.append(make()), { once: true });
  return opened;
}

function command(path, methods, operation) {
  const method = methods.find((name) => name !== "HEAD") || methods[0];
  const url = location.origin + path.replace("{id}", "starter").replace("{digest}", "sha256:…");
  const body = operation.requestBody && operation.requestBody.content["application/json"];
  if (!body) return operation.requestBody ? `curl --data-binary @FILE ${url}` : `curl ${url}`;
  const text = JSON.stringify(body.example || {}, null, 1).replaceAll("'", "'\\''");
  return `curl ${method === "POST" ? "" : `-X ${method} `}${url} \\\n  -H 'Content-Type: application/json' -d '${text}'`;
}

function example(text) {
  const button = element("button", { type: "button" }, "Copy");
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(text);
      button.textContent = "Copied";
    } catch {
      button.textContent = "Press Ctrl+C";
      getSelection().selectAllChildren(button.previousElementSibling);
    }
  });
  return element("div", { className: "example" }, element("pre", { tabIndex: 0 }, text), button);
}

function answers(operation) {
  const list = element("dl");
  for (const [status, answer] of Object.entries(operation.responses)) {
    const whole = resolved(answer);
    const about = element("dd", {}, ...prose(whole.description));
    for (const [media, content] of Object.entries(whole.content || {})) {
      const schema = content["x-item-schema"] || content.schema;
      const title = `${media}: ${kind(schema)}${content["x-item-schema"] ? ", one a record" : ""}`;
      const shown = objects(schema);
      if (!shown.length) about.append(element("p", { className: "soft" }, title));
      for (const part of shown) about.append(later(title, () => fields(part, [called(part)].filter(Boolean))));
    }
    list.append(element("dt", {}, status), about);
  }
  return list;
}

function content(path, methods, operation) {
  const made = element("div", { className: "content" });
  if (operation.description) made.append(element("p", {}, ...prose(operation.description)));
  for (const [place, title] of [["path", "Path"], ["query", "Query"]]) {
    const parameters = (api.paths[path].parameters || []).filter((parameter) => parameter.in === place);
    const shown = parameters.map((one) => field(one.name, { ...one.schema, description: one.description }, one.required, []));
    if (shown.length) made.append(element("h3", {}, title), element("ul", { className: "fields" }, ...shown));
  }
  const body = operation.requestBody && operation.requestBody.content["application/json"];
  if (body) made.append(element("h3", {}, "Request"), fields(body.schema, [called(body.schema)]));
  else if (operation.requestBody) made.append(element("h3", {}, "Request"), element("p", {}, "The bytes of the file."));
  made.append(element("h3", {}, "Example"), example(command(path, methods, operation)));
  made.append(element("h3", {}, "Answers"), answers(operation));
  return made;
}

function endpoint(path, methods, operation) {
  const marks = methods.map((name) => element("span", { className: `method ${name}` }, name));
  const summary = element("summary", {}, ...marks.flatMap((mark) => [mark, " "]), element("span", { className: "path" }, path), element("span", { className: "about" }, operation.summary));
  const opened = element("details", {}, summary);
  opened.addEventListener("toggle", () => opened.childElementCount === 1 && opened.append(content(path, methods, operation)));
  return element("article", { id: operation.operationId }, opened);
}

function show() {
  const main = document.getElementById("main");
  const index = document.getElementById("index");
  document.getElementById("version").textContent = api.info.version;
  document.getElementById("state").remove();
  main.append(...api.info.description.trim().split("\n\n").map((text) => element("p", {}, ...prose(text))));
  for (const tag of api.tags) {
    const section = element("section", {}, element("h2", {}, tag.name), element("p", { className: "soft" }, ...prose(tag.description)));
    const links = element("ul");
    for (const [path, item] of Object.entries(api.paths)) {
      const methods = METHODS.filter((method) => item[method]);
      const operation = item[methods.find((name) => name !== "head") || "head"];
      if (!operation.tags.includes(tag.name)) continue;
      section.append(endpoint(path, methods.map((name) => name.toUpperCase()), operation));
      links.append(element("li", {}, element("a", { className: "path", href: `#${operation.operationId}` }, path)));
    }
    main.append(section);
    index.append(element("div", {}, element("h2", {}, tag.name), links));
  }
  go();
}

// Opens the endpoint that the address names.
function go() {
  const found = location.hash.length > 1 && document.getElementById(location.hash.slice(1));
  if (!found || found.tagName !== "ARTICLE") return;
  found.firstElementChild.open = true;
  found.scrollIntoView();
  found.querySelector("summary").focus({ preventScroll: true });
}

function filter(text) {
  const wanted = text.trim().toLowerCase();
  for (const article of document.querySelectorAll("article")) {
    const fits = article.querySelector("summary").textContent.toLowerCase().includes(wanted);
    article.hidden = !fits;
    document.querySelector(`nav a[href="#${article.id}"]`).parentElement.hidden = !fits;
  }
  for (const group of document.querySelectorAll("section, #index > div")) {
    group.hidden = !group.querySelector("article:not([hidden]), li:not([hidden])");
  }
}

addEventListener("hashchange", go);
document.getElementById("index").addEventListener("click", (event) => event.target.hash === location.hash && go());
document.getElementById("filter").addEventListener("input", (event) => filter(event.target.value));
addEventListener("keydown", (event) => {
  const input = document.getElementById("filter");
  if (event.key === "/" && document.activeElement !== input && !event.ctrlKey && !event.metaKey && !event.altKey) {
    event.preventDefault();
    input.focus();
  }
  if (event.key === "Escape" && document.activeElement === input) {
    input.value = "";
    filter("");
  }
});

// The key that the page at / keeps too, for as long as this tab is open.
const KEY = "mlx-serve-key";

function askForKey(refused) {
  document.getElementById("state").hidden = true;
  document.getElementById("key-form").hidden = false;
  document.getElementById("key-reason").textContent = refused ? "The server does not know that key." : "This server asks for a key: one of those in its server.api_keys.";
  document.getElementById("key").value = "";
  document.getElementById("key").focus();
}

// A link cannot send the key: what was read is what it saves.
function offerDocument() {
  const link = document.querySelector('a[href="openapi.json"]');
  link.href = URL.createObjectURL(new Blob([JSON.stringify(api)], { type: "application/json" }));
  link.download = "openapi.json";
}

async function read() {
  const state = document.getElementById("state");
  const key = sessionStorage.getItem(KEY);
  state.hidden = false;
  document.getElementById("key-form").hidden = true;
  try {
    const keyed = key && new Request("openapi.json", { headers: { Authorization: `Bearer ${key}` } });
    const answer = keyed ? await fetch(keyed) : await fetch("openapi.json");
    if (answer.status === 401) {
      sessionStorage.removeItem(KEY);
      askForKey(key !== null);
      return;
    }
    if (!answer.ok) throw new Error(`openapi.json was answered with ${answer.status}`);
    api = await answer.json();
    show();
    if (keyed) offerDocument();
  } catch (error) {
    if (!state.isConnected) throw error;
    state.textContent = `The document could not be read: ${error.message}. Is mlx-serve still running?`;
  }
}

document.getElementById("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem(KEY, document.getElementById("key").value.trim());
  read();
});
document.querySelector("header").append(element("p", {}, element("a", { href: "./" }, "Models and chat")));
read();
