// The field of a form for a source's status: one of those that there are, or another text.

import { html, useEffect, useMemo, useRef, useState } from "./ui.js";
import { sources } from "./sources.js";

const SWITCHED = ["active", "inactive"];
const MOST = 50;
const ANOTHER = "\u0000another"; // PostgreSQL has no text with this character.

export const isSwitched = (status) => SWITCHED.includes(status);

// `initial` stays chosen until another one is.
export function StatusField({ initial, error }) {
  const text = useRef();
  const [isText, setIsText] = useState(false);
  const choices = useMemo(() => {
    const all = new Set([initial, ...SWITCHED]);
    for (const { status } of sources.values()) if (all.size < MOST) all.add(status);
    return [...all];
  }, []);
  useEffect(() => text.current?.focus(), [isText]);
  const more = { name: "status", "aria-invalid": error ? "true" : "false",
    "aria-describedby": error ? "status-error" : undefined };
  if (isText) return html`<input key="text" ref=${text} type="text" autocomplete="off" ...${more} />`;
  return html`<select key="list" onChange=${({ target }) => setIsText(target.value === ANOTHER)} ...${more}>
    ${choices.map((one) => html`<option key=${one} value=${one} selected=${one === initial}>${one || "(none)"}</option>`)}
    <option value=${ANOTHER}>Another…</option>
  </select>`;
}
