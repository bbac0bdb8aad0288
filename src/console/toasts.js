// Short messages that go by themselves, with at most one thing to do about them.

import { html } from "./ui.js";
import { state } from "./state.js";

const LASTS = 6_000; // ms

const toasts = state([]);
let last = 0;

export function toast(text, { bad = false, act = null, label = "" } = {}) {
  const one = { id: ++last, text, bad, act, label };
  toasts.set([...toasts.get().slice(-2), one]);
  setTimeout(() => dismiss(one.id), LASTS);
}

const dismiss = (id) => toasts.set(toasts.get().filter((one) => one.id !== id));

export function Toasts() {
  return html`<div class="toasts" role="status" aria-live="polite">
    ${toasts.use().map((one) => html`<p key=${one.id} class=${one.bad ? "toast bad" : "toast"}>
      <span>${one.text}</span>
      ${one.act && html`<button type="button" onClick=${() => { dismiss(one.id); one.act(); }}>${one.label}</button>`}
    </p>`)}
  </div>`;
}
