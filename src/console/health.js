// Whether the server is well, in numbers, for operators.

import { html, useEffect, useState } from "./ui.js";
import { call, why } from "./api.js";
import { Bars } from "./chart.js";
import { latencies, revision } from "./sources.js";
import { number } from "./text.js";

const EVERY = 2_000; // ms
// Upper bounds in ms; the last bar has what is beyond.
const BOUNDS = [5, 10, 20, 30, 50, 75, 100, 150, 200, 300, 500, 1_000, 2_000, 5_000];

export function Health() {
  const [{ report, error }, setState] = useState({});
  useEffect(() => {
    let timer;
    let stopped = false;
    const ask = async () => {
      const answer = await call("GET", "/api/health/");
      if (stopped) return;
      setState(answer.ok ? { report: answer.body } : { error: why(answer) });
      timer = setTimeout(ask, EVERY);
    };
    ask();
    return () => {
      stopped = true;
      clearTimeout(timer);
    };
  }, []);
  return html`<main class="page">
    <h1>Health</h1>
    ${error && html`<p class="error" role="alert">${error}</p>`}
    ${report ? html`<${Report} report=${report} />` : !error && html`<p class="empty">Loading…</p>`}
    <${Latency} />
    ${report && html`<${Groups} groups=${report.groups} />`}
    <p><a href="/api/docs">API documentation</a></p>
  </main>`;
}

function Report({ report }) {
  const { troubles, listener, sockets, database, version } = report;
  const beat = listener.heartbeat_age_ms;
  const all = [
    ["State", html`<span class="badge" data-kind=${troubles.length ? "delayed" : "received"} id="state">${troubles.length ? "not ready" : "ready"}</span>`],
    ["Listener", beat === null ? "not listening" : "listening"],
    ["Last heartbeat", beat === null ? "–" : `${(beat / 1000).toFixed(1)} s ago`],
    ["Connections to PostgreSQL by the listener", number(listener.connections)],
    ["Notification queue", database ? `${(database.queue_usage * 100).toFixed(1)} % full` : "unknown"],
    ["Servers on this database", database ? number(database.nodes) : "unknown"],
    ["Open sockets", number(sockets.open)],
    ["Closed sockets", `${number(sockets.slow)} did not read, ${number(sockets.gone)} did not answer pings`],
    ["PostgreSQL", database?.version.split(" ")[0] ?? "unknown"],
    ["marketplace", version],
  ];
  return html`
    ${troubles.map((trouble) => html`<p class="notice" key=${trouble}>${trouble}</p>`)}
    <dl class="details">${all.map(([label, value]) => html`<div key=${label}><dt>${label}</dt><dd>${value}</dd></div>`)}</dl>`;
}

const Groups = ({ groups }) => html`<div class="scroller plain" tabindex="0" role="region" aria-label="Table of groups">
  <table><thead><tr><th scope="col">Group</th><th scope="col">Clients</th></tr></thead>
  <tbody>${Object.entries(groups).map(([name, members]) => html`<tr key=${name}><td>${name}</td><td>${number(members)}</td></tr>`)}</tbody></table>
</div>`;

function Latency() {
  revision.use();
  const counts = new Array(BOUNDS.length + 1).fill(0);
  for (const ms of latencies) {
    const at = BOUNDS.findIndex((bound) => ms <= bound);
    counts[at < 0 ? BOUNDS.length : at] += 1;
  }
  const bars = counts.map((value, n) => {
    const range = n < BOUNDS.length ? `up to ${BOUNDS[n]} ms` : `more than ${BOUNDS.at(-1)} ms`;
    return { value, label: `${range}: ${value}` };
  });
  const sorted = [...latencies].sort((a, b) => a - b);
  const middle = sorted[Math.floor(sorted.length / 2)];
  const summary = sorted.length
    ? `${number(sorted.length)} seen by this page, half of them within ${Math.round(middle)} ms, all within ${Math.round(sorted.at(-1))} ms`
    : "nothing has changed since this page was opened";
  return html`<${Bars} title="Milliseconds from a write to this page" bars=${bars} marks=${[...BOUNDS.map((bound) => `≤ ${bound}`), "more"]} summary=${summary} />`;
}
