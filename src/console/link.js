// Says how far what is shown can be trusted.

import { html, useEffect, useState } from "./ui.js";
import { link, retryNow } from "./live.js";
import { moment } from "./text.js";

const time = (at) => moment(new Date(at));

export function Link() {
  const { name, since, retryAt, why } = link.use();
  const [, tick] = useState(0);
  useEffect(() => {
    if (name !== "reconnecting") return undefined;
    const timer = setInterval(() => tick(Date.now()), 250);
    return () => clearInterval(timer);
  }, [name]);
  const seconds = retryAt ? Math.max(0, Math.ceil((retryAt - Date.now()) / 1000)) : 0;
  const stale = since ? `, stale since ${time(since)}` : "";
  const text = {
    connecting: "Connecting",
    live: "Live",
    reconnecting: (seconds ? `Reconnecting in ${seconds} s` : "Reconnecting") + stale,
    stale: "Stale" + (since ? ` since ${time(since)}` : ""),
  }[name];
  return html`<span class=${"link " + name} title=${why ?? ""}>
    <span class="dot" aria-hidden="true"></span>
    <span id="link" data-state=${name}>${text}</span>
    ${name === "reconnecting" && html`<button type="button" class="quiet" onClick=${retryNow}>Try now</button>`}
    <span class="unseen" role="status">${{ live: "Live", stale: "Stale", reconnecting: "Connection lost" }[name] ?? ""}</span>
  </span>`;
}
