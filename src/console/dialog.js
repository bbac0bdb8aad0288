// A window over the page, and the question before what cannot be undone.

import { html, useLayoutEffect, useRef, useState } from "./ui.js";

export function Dialog({ title, onClose, children }) {
  const dialog = useRef();
  useLayoutEffect(() => {
    const before = document.activeElement;
    dialog.current.showModal();
    dialog.current.querySelector("form input, form button")?.focus();
    return () => before?.isConnected && before.focus();
  }, []);
  return html`<dialog ref=${dialog} aria-labelledby="dialog-title"
      onCancel=${(event) => { event.preventDefault(); onClose(); }}>
    <header class="dialog-head" role="presentation">
      <h2 id="dialog-title">${title}</h2>
      <button type="button" class="quiet" aria-label="Close" onClick=${onClose}>✕</button>
    </header>
    ${children}
  </dialog>`;
}

// `act` does it, and gives a sentence when it could not.
export function Confirm({ title, text, label, act, onClose }) {
  const [error, setError] = useState("");
  const [busy, setBusy] = useState(false);
  const submit = async (event) => {
    event.preventDefault();
    setBusy(true);
    const error = await act();
    setBusy(false);
    if (error) setError(error);
    else onClose();
  };
  return html`<${Dialog} title=${title} onClose=${onClose}>
    <form onSubmit=${submit}>
      <p>${text}</p>
      <p class="error" role="alert">${error}</p>
      <footer role="presentation">
        <button type="button" onClick=${onClose}>Cancel</button>
        <button class="danger" disabled=${busy}>${label}</button>
      </footer>
    </form>
  </${Dialog}>`;
}
