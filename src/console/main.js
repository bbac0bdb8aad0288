// The console: who is signed in, where in it they are, and the frame around that.

import { html, render, useEffect, useState } from "./ui.js";
import { Activity } from "./activity.js";
import { Enter } from "./enter.js";
import { Filters, useShown } from "./filters.js";
import { Health } from "./health.js";
import { Link } from "./link.js";
import { check, isAdmin, mayEdit, session, signOut } from "./session.js";
import { Source, useActions } from "./source.js";
import { start } from "./sources.js";
import { Table } from "./table.js";
import { Tiles } from "./tiles.js";
import { toast, Toasts } from "./toasts.js";
import { Users } from "./users.js";
import { why } from "./api.js";

const PLACES = [
  { hash: "#/", title: "Sources", shown: Dashboard },
  { hash: "#/activity", title: "Activity", shown: Activity },
  { hash: "#/health", title: "Health", shown: Health },
  { hash: "#/users", title: "Users", shown: Users, may: isAdmin },
];
const RETRY = 2_000; // ms

function App() {
  const who = session.use();
  const [answers, setAnswers] = useState(true);
  useEffect(() => {
    if (who !== undefined) return undefined;
    let timer;
    const ask = async () => {
      const answered = await check();
      setAnswers(answered);
      if (!answered) timer = setTimeout(ask, RETRY);
    };
    ask();
    return () => clearTimeout(timer);
  }, [who]);
  const shown = who ? html`<${Inside} who=${who} />` : who === null ? html`<${Enter} />`
    : html`<main class="enter"><p class="empty">${answers ? "" : "The server does not answer. Trying again…"}</p></main>`;
  return html`${shown}<${Toasts} />`;
}

function Inside({ who }) {
  const [hash, setHash] = useState(location.hash);
  useEffect(() => {
    const moved = () => setHash(location.hash);
    addEventListener("hashchange", moved);
    const stop = start();
    return () => {
      removeEventListener("hashchange", moved);
      stop();
    };
  }, [who.username]);

  const id = hash.match(/^#\/sources\/([0-9a-f-]{36})$/)?.[1];
  const places = PLACES.filter(({ may }) => !may || may(who));
  const place = (!id && places.find((place) => place.hash === hash)) || places[0];
  useEffect(() => {
    document.title = `${place.title} · marketplace`;
  }, [place]);
  const leave = async () => {
    const answer = await signOut();
    if (!answer.ok) toast(why(answer), { bad: true });
  };
  return html`<div class="frame">
    <header class="top">
      <a class="brand" href="#/">marketplace</a>
      <nav aria-label="Parts">${places.map(({ hash, title }) => html`<a key=${hash} href=${hash}
        aria-current=${place.hash === hash ? "page" : undefined}>${title}</a>`)}</nav>
      <${Link} />
      <span class="who">${who.username} <span class="role">${who.role}</span></span>
      <button type="button" id="leave" onClick=${leave}>Sign out</button>
    </header>
    ${id ? html`<${Source} key=${id} id=${id} />` : html`<${place.shown} key=${place.hash} who=${who} />`}
  </div>`;
}

function Dashboard({ who }) {
  const rows = useShown();
  const actions = useActions();
  const canEdit = mayEdit(who);
  useEffect(() => {
    const press = (event) => {
      const isTyping = event.target.closest?.("input, select, textarea, dialog");
      if (isTyping || event.ctrlKey || event.altKey || event.metaKey) return;
      if (event.key === "/") document.querySelector("#search").focus();
      else if (event.key === "n" && canEdit) actions.add();
      else return;
      event.preventDefault();
    };
    addEventListener("keydown", press);
    return () => removeEventListener("keydown", press);
  }, [canEdit]);
  return html`<main class="dashboard">
    <h1 class="unseen">Sources</h1>
    <${Tiles} />
    <div class="bar">
      <${Filters} shown=${rows.length} />
      ${canEdit && html`<button type="button" class="primary" id="add" onClick=${actions.add}>Add source</button>`}
    </div>
    <${Table} rows=${rows} canEdit=${canEdit} onEdit=${actions.edit} onToggle=${actions.toggle} onDelete=${actions.remove}
      onDemo=${actions.demo} />
    ${actions.window}
  </main>`;
}

document.querySelector("noscript")?.remove();
render(html`<${App} />`, document.body);
