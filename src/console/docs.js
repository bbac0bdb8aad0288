// What is written about the API, to be read, and its GET requests, to be tried.

import { html, render, useEffect, useState } from "./ui.js";
import { call } from "./api.js";

function Docs() {
  const [answer, setAnswer] = useState(null);
  useEffect(() => {
    call("GET", "/api/openapi.json").then(setAnswer);
  }, []);
  if (!answer) return html`<main class="docs"><p class="empty">Reading…</p></main>`;
  if (!answer.ok) {
    return html`<main class="docs"><h1>API</h1><p class="refused">${answer.status === 403
      ? html`Sign in to read the API documentation: <a href="/">sign in</a>, then return to this page.`
      : "The server does not answer. Reload the page to try again."}</p></main>`;
  }
  const document = answer.body;
  const operations = Object.entries(document.paths).flatMap(([path, item]) => Object.entries(item)
    .map(([method, operation]) => ({ path, method, operation })));
  const tags = [...new Set(operations.map(({ operation }) => operation.tags[0]))];
  return html`<header class="top"><a class="brand" href="/">marketplace</a>
      <nav aria-label="Parts">${tags.map((tag) => html`<a key=${tag} href=${`#${tag}`}>${tag}</a>`)}</nav>
    </header>
    <main class="docs">
      <h1>API <span class="role">${document.info.version}</span></h1>
      ${document.info.description.split("\n\n").map((text) => html`<p key=${text}><${Text} text=${text} /></p>`)}
      <p>The documents: <a href="/api/openapi.json">OpenAPI</a> (HTTP),${" "}
        <a href="/api/asyncapi.yaml">AsyncAPI</a> (sockets).</p>
      ${tags.map((tag) => html`<section key=${tag} id=${tag}><h2>${tag}</h2>
        ${operations.filter(({ operation }) => operation.tags[0] === tag)
          .map((shown) => html`<${Operation} key=${shown.operation.operationId} ...${shown} document=${document} />`)}
      </section>`)}
    </main>`;
}

function Operation({ path, method, operation, document }) {
  const [isOpen, setOpen] = useState(false);
  return html`<details id=${operation.operationId} onToggle=${(event) => setOpen(event.currentTarget.open)}>
    <summary><b class="method">${method.toUpperCase()}</b> <code>${path}</code> <span>${operation.summary}</span></summary>
    ${isOpen && html`<${Details} path=${path} method=${method} operation=${operation} document=${document} />`}
  </details>`;
}

function Details({ path, method, operation, document }) {
  const content = Object.entries(operation.requestBody?.content ?? {});
  return html`${operation.description && html`<p><${Text} text=${operation.description} /></p>`}
    ${operation.security?.length === 0 && html`<p class="none">Needs no session.</p>`}
    ${content.length > 0 && html`<h3>Takes</h3>
      <p class="none">${content.map(([kind]) => kind).join(" or ")}</p>
      <${Shape} schema=${content[0][1].schema} document=${document} />`}
    <h3>Answers</h3>
    ${Object.entries(operation.responses).map(([status, answer]) =>
      html`<${Answer} key=${status} status=${status} answer=${resolved(answer, document)} document=${document} />`)}
    ${method === "get" && html`<${Try} path=${path} parameters=${operation.parameters ?? []} />`}`;
}

function Answer({ status, answer, document }) {
  const [kind, content] = Object.entries(answer.content ?? {})[0] ?? [];
  return html`<div class="answer"><b>${status}</b> ${answer.description}${kind && html` <span class="none">${kind}</span>`}
    ${status < 300 && content && html`<${Shape} schema=${content.schema} document=${document} />`}</div>`;
}

// A schema as people read it: one line a field, objects one within the other.
function Shape({ schema, document }) {
  const whole = resolved(schema, document);
  if (whole.type === "array") return html`<div class="shape">list of <${Shape} schema=${whole.items} document=${document} /></div>`;
  if (!whole.properties) return null;
  const required = new Set(whole.required);
  return html`<table class="shape"><tbody>${Object.entries(whole.properties).map(([name, field]) => {
    const { schema: inner, words } = kinds(field, document);
    return html`<tr key=${name}><th scope="row"><code>${name}</code></th>
      <td>${words}${required.has(name) ? "" : ", optional"}</td>
      <td><${Text} text=${(field.description ?? inner.description ?? "")} />
        ${inner.properties && html`<${Shape} schema=${inner} document=${document} />`}</td></tr>`;
  })}</tbody></table>`;
}

// What a field may be, in words, and the schema behind it.
function kinds(field, document) {
  const all = (field.oneOf ?? field.anyOf ?? [field]).map((one) => resolved(one, document));
  const inner = all.find(({ type }) => type !== "null") ?? {};
  const item = inner.type === "array" ? resolved(inner.items ?? {}, document) : {};
  const types = new Set([...all, inner].flatMap(({ type }) => type ?? []));
  const words = [...types].map((type) => (type === "array" ? `list of ${item.format ?? item.type}` : type)).join(" or ");
  const limits = [inner.format, inner.enum?.join(", "), inner.maxLength && `at most ${inner.maxLength} characters`];
  return { schema: item.properties ? item : inner, words: [words, ...limits].filter(Boolean).join(", ") };
}

function resolved(schema, document) {
  if (!schema.$ref) return schema;
  return schema.$ref.split("/").slice(1).reduce((part, name) => part[name], document);
}

function Try({ path, parameters }) {
  const [values, setValues] = useState(() => Object.fromEntries(parameters.map(({ name, example }) => [name, example ?? ""])));
  const [answer, setAnswer] = useState(null);
  const send = async (event) => {
    event.preventDefault();
    const address = parameters.filter((one) => one.in === "path")
      .reduce((text, { name }) => text.replace(`{${name}}`, encodeURIComponent(values[name])), path);
    const asked = parameters.filter((one) => one.in === "query" && values[one.name]).map(({ name }) => [name, values[name]]);
    const query = asked.length ? `?${new URLSearchParams(asked)}` : "";
    const begun = performance.now();
    try {
      const got = await fetch(address + query, { cache: "no-store" });
      const text = await got.text();
      setAnswer({ status: got.status, ms: Math.round(performance.now() - begun), text: pretty(text) });
    } catch {
      setAnswer({ status: "No answer", ms: Math.round(performance.now() - begun), text: "" });
    }
  };
  return html`<form class="try" onSubmit=${send}>
    ${parameters.map(({ name, description }) => html`<label key=${name} class="field"><span>${name}${description && ` (${description.toLowerCase()})`}</span>
      <input name=${name} value=${values[name]} onInput=${(event) => setValues({ ...values, [name]: event.target.value })} /></label>`)}
    <button class="primary">Try</button>
    <div aria-live="polite">${answer && html`<p class="status">${answer.status}, ${answer.ms} ms</p>
      <pre tabindex="0" aria-label="Answer">${answer.text}</pre>`}</div>
  </form>`;
}

const LONGEST = 20_000; // characters

function pretty(text) {
  let shown = text;
  try {
    shown = JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    // Not JSON: shown as it is.
  }
  return shown.length > LONGEST ? `${shown.slice(0, LONGEST)}\n… ${shown.length - LONGEST} more characters` : shown;
}

// Text with `code` and [links](/to/paths).
function Text({ text }) {
  return text.split(/(`[^`]+`|\[[^\]]+\]\(\/[^)]*\))/).map((part) => {
    const link = part.match(/^\[(.+)\]\((.+)\)$/);
    if (link) return html`<a href=${link[2]}>${link[1]}</a>`;
    return part.startsWith("`") ? html`<code>${part.slice(1, -1)}</code>` : part;
  });
}

document.querySelector("noscript")?.remove();
render(html`<${Docs} />`, document.body);
