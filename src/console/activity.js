// What changed, when and by whom: every statement, also those by hand.

import { html, useEffect, useRef, useState } from "./ui.js";
import { Boundary } from "./boundary.js";
import { Bars } from "./chart.js";
import { follow } from "./live.js";
import { revision, sources } from "./sources.js";
import { count, moment, number, sourceName } from "./text.js";

const MINUTES = 60;

export function Activity() {
  const [shown, setShown] = useState(null);
  const known = useRef(null);
  useEffect(() => follow(() => "/ws/activity/", setShown).stop, []);
  revision.use();
  if (!shown) return html`<main class="page"><h1>Activity</h1><p class="empty">Loading…</p></main>`;

  const before = known.current;
  known.current = new Set(shown.data.map(({ id }) => id));
  return html`<main class="page">
    <h1>Activity</h1>
    <${Minutes} minutes=${shown.minutes} />
    ${!shown.data.length && html`<p class="empty">Nothing has been changed in the last 30 days.</p>`}
    ${shown.data.length > 0 && html`<div class="scroller plain" tabindex="0" role="region" aria-label="Table of changes">
      <table class="activity"><thead><tr>
        <th scope="col">When</th><th scope="col">Who</th><th scope="col">What</th><th scope="col" class="wide">Rows</th>
      </tr></thead>
      <tbody>${shown.data.map((one) => html`<tr key=${one.id} class=${before && !before.has(one.id) ? "new flash-0" : ""}>
        <td><time datetime=${one.at}>${moment(one.at)}</time></td>
        <td><${Who} change=${one} /></td>
        <td><span class=${"op " + one.operation}>${one.operation}</span> ${what(one)}</td>
        <td class="wide"><${Boundary} of=${one}><${Rows} change=${one} /></${Boundary}></td>
      </tr>`)}</tbody></table>
    </div>`}
  </main>`;
}

function Who({ change }) {
  const { user, role, application } = change;
  return user
    ? html`<strong>${user}</strong> <span class="none">via ${application || "?"}</span>`
    : html`<span class="none">role</span> <strong>${role}</strong> <span class="none">in ${application || "an unnamed program"}</span>`;
}

function what({ operation, count: rows, table }) {
  const name = table === "pipeline_runs" ? "run" : "source";
  return operation === "truncate" ? `all ${name}s` : count(rows, name);
}

const FEW = 4;

function Rows({ change }) {
  const { ids, count, table } = change;
  if (table !== "sources" || !ids.length) return html`<span class="none">–</span>`;
  const rows = ids.slice(0, FEW).map((id) => {
    const source = sources.get(id);
    return source
      ? html`<a key=${id} href=${"#/sources/" + id}>${sourceName(source)}</a>`
      : html`<span key=${id} class="none" title=${id}>${id.slice(0, 8)}</span>`;
  });
  const more = count - rows.length;
  return html`<span class="list">${rows}${more > 0 && html`<span class="none">and ${number(more)} more</span>`}</span>`;
}

function Minutes({ minutes }) {
  const now = Math.floor(Date.now() / 60_000);
  const counts = new Map(minutes);
  const last = Math.max(now, ...counts.keys());
  const bars = Array.from({ length: MINUTES }, (_, n) => {
    const minute = last - MINUTES + 1 + n;
    const value = counts.get(minute) ?? 0;
    const at = new Date(minute * 60_000).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
    return { value, label: `${at}: ${count(value, "statement")}` };
  });
  const all = bars.reduce((sum, { value }) => sum + value, 0);
  return html`<${Bars} title="Statements a minute" bars=${bars} marks=${["an hour ago", "now"]}
    summary=${`${count(all, "statement")} in the last hour`} />`;
}
