// The console: who is signed in, where in it they are, and the frame around that.

import { html, render, useEffect, useRef, useState } from "./ui.js";
import { add, demo, edit, isForm, opened, remove, toggle } from "./actions.js";
import { Activity } from "./activity.js";
import { Boundary } from "./boundary.js";
import { Enter } from "./enter.js";
import { Filters, useShown } from "./filters.js";
import { Health } from "./health.js";
import { Link } from "./link.js";
import { check, isAdmin, mayEdit, session, signOut } from "./session.js";
import { Source } from "./source.js";
import { start } from "./sources.js";
import { Table } from "./table.js";
import { Tiles } from "./tiles.js";
import { forget, toast, Toasts } from "./toasts.js";
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
  // A form that is open asks itself for the name and the password.
  const hasForm = isForm(opened.use());
  const shown = who ? html`<${Inside} key="inside" who=${who} />`
    : who === null && !hasForm ? html`<${Enter} key="enter" />`
    : html`<main key="nothing" class="enter"><h1 class="unseen">marketplace</h1><p class="empty">${answers ? "" : "The server does not answer. Trying again…"}</p></main>`;
  // The messages come first, so that Tab reaches them however long the page is.
  return html`<${Toasts} />${shown}<${Boundary} key="window" of=${opened.get()}>${opened.get()}</${Boundary}>`;
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
    if (!id) document.title = `${place.title} · marketplace`;
  }, [place, id]);
  const known = useRef(who);
  useEffect(() => {
    const { username, role } = known.current;
    known.current = who;
    if (who.username === username && who.role !== role) toast(`Your role is ${who.role} now.`);
  }, [who]);
  const leave = async () => {
    const answer = await signOut();
    if (answer.ok) forget();
    else toast(why(answer), { bad: true });
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
    <${Boundary} of=${hash}>${id ? html`<${Source} key=${id} id=${id} />`
      : html`<${place.shown} key=${place.hash} who=${who} />`}</${Boundary}>
  </div>`;
}

function Dashboard({ who }) {
  const rows = useShown();
  const canEdit = mayEdit(who);
  useEffect(() => {
    const press = (event) => {
      const isTyping = event.target.closest?.("input, select, textarea, dialog");
      if (isTyping || event.ctrlKey || event.altKey || event.metaKey) return;
      if (event.key === "/") document.querySelector("#search").focus();
      else if (event.key === "n" && canEdit) add();
      else return;
      event.preventDefault();
    };
    addEventListener("keydown", press);
    return () => removeEventListener("keydown", press);
  }, [canEdit]);
  return html`<main class="dashboard">
    <h1 class="unseen">Sources</h1>
    <${Boundary} of=${rows}><${Tiles} /></${Boundary}>
    <div class="bar">
      <${Boundary} of=${rows}><${Filters} shown=${rows.length} /></${Boundary}>
      ${canEdit && html`<button type="button" class="primary" id="add" onClick=${add}>Add source</button>`}
    </div>
    <${Table} rows=${rows} canEdit=${canEdit} onEdit=${edit} onToggle=${toggle} onDelete=${remove} onDemo=${demo} />
  </main>`;
}

document.querySelector("noscript")?.remove();
render(html`<${App} />`, document.body);
