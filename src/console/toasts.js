// Short messages. Those that only tell something go by themselves; one with something to do about it
// stays until that was done or it is dismissed.

import { html, useEffect, useRef } from "./ui.js";
import { session } from "./session.js";
import { state } from "./state.js";

const LASTS = 6_000; // ms
const MOST = 3; // of those that go by themselves

const toasts = state([]);
let last = 0;

// A toast replaces the one `about` the same thing.
export function toast(text, { bad = false, act = null, label = "", about = null } = {}) {
  // What had the focus is what was pressed: the keyboard reaches the toast from there.
  const one = { id: ++last, text, bad, act, label, about, from: document.activeElement };
  const others = toasts.get().filter((other) => about === null || other.about !== about);
  const passing = others.filter(({ act }) => !act);
  const dropped = new Set(passing.slice(0, Math.max(0, passing.length + 1 - MOST)));
  toasts.set([...others.filter((other) => !dropped.has(other)), one]);
  if (!act) setTimeout(() => dismiss(one.id), LASTS);
}

const dismiss = (id) => toasts.set(toasts.get().filter((one) => one.id !== id));

function leave(one) {
  dismiss(one.id);
  if (one.from?.isConnected) one.from.focus();
}

// Tab goes from what was pressed to its toast, and from there to what follows what was pressed.
function tab(event, list) {
  if (event.key !== "Tab" || event.ctrlKey || event.altKey || event.metaKey) return;
  const now = document.activeElement;
  const within = now?.closest(".toast");
  if (!within) {
    const one = toasts.get().findLast(({ act, from }) => act && from === now);
    if (event.shiftKey || !one || now === document.body) return;
    event.preventDefault();
    list.querySelector(`[data-id="${one.id}"] button`).focus();
    return;
  }
  const one = toasts.get().find(({ id }) => String(id) === within.dataset.id);
  const buttons = [...within.querySelectorAll("button")];
  if (!one?.from?.isConnected || one.from === document.body || now !== buttons.at(event.shiftKey ? 0 : -1)) return;
  // The browser goes on from here.
  one.from.focus();
  if (event.shiftKey) event.preventDefault();
}

export const forget = () => toasts.set([]);

// Nobody undoes what somebody else did at the same screen.
let user = null;
session.watch((who) => {
  if (!who) return;
  if (user !== null && user !== who.username) forget();
  user = who.username;
});

export function Toasts() {
  const list = useRef();
  useEffect(() => {
    const press = (event) => tab(event, list.current);
    addEventListener("keydown", press);
    return () => removeEventListener("keydown", press);
  }, []);
  return html`<div class="toasts" role="status" aria-live="polite" ref=${list}>
    ${toasts.use().map((one) => html`<p key=${one.id} data-id=${one.id} class=${one.bad ? "toast bad" : "toast"}>
      <span>${one.text}</span>
      ${one.act && html`<button type="button" onClick=${() => { leave(one); one.act(); }}>${one.label}</button>
        <button type="button" class="dismiss" aria-label="Dismiss" onClick=${() => leave(one)}>✕</button>`}
    </p>`)}
  </div>`;
}
