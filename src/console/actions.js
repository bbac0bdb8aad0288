// What can be done with sources: add, edit, switch on and off, delete. Its windows are not part of
// the page that they were opened from, so what was typed outlives that page.

import { html } from "./ui.js";
import { call, why } from "./api.js";
import { Confirm } from "./dialog.js";
import { Form } from "./form.js";
import { session } from "./session.js";
import { sources } from "./sources.js";
import { state } from "./state.js";
import { count, sourceName } from "./text.js";
import { toast } from "./toasts.js";

// The window that is open, or null.
export const opened = state(null);
const close = () => opened.set(null);

export const isForm = (window) => window?.type === Form;

// A question about a source is over with the session; what was typed into a form is not.
session.watch((who) => who || isForm(opened.get()) || close());

export const add = () => opened.set(html`<${Form} onClose=${close} onSaved=${added} />`);

export const edit = (source) => opened.set(html`<${Form} source=${source} onClose=${close} onSaved=${(saved) => {
  if (saved.id !== source.id) return added(saved);
  close();
  return toast(`${sourceName(saved)} was saved.`);
}} />`);

function added(source) {
  close();
  toast(`${sourceName(source)} was added.`);
}

export function remove(source, done) {
  const name = sourceName(source);
  const isTwin = [...sources.values()].some((one) => one.id !== source.id && sourceName(one) === name);
  const which = isTwin ? ` It is the one with the id ${source.id}; there are others of this name.` : "";
  opened.set(html`<${Confirm} title="Delete source" label="Delete" onClose=${close}
    text=${`${name} will be gone for everybody. This cannot be undone.${which}`}
    act=${async () => {
      const answer = await call("DELETE", `/api/delete-source/${source.id}/`);
      if (!answer.ok && answer.status !== 404) return why(answer);
      toast(`${name} was deleted.`);
      done?.();
      return null;
    }} />`);
}

export async function demo() {
  const answer = await call("POST", "/api/add-demo/");
  if (answer.ok) toast(`${count(answer.body.added, "sample source")} added.`);
  else toast(why(answer), { bad: true });
}

export async function toggle(source) {
  const before = source.status;
  const verb = before === "active" ? "deactivate" : "activate";
  const answer = await call("POST", `/api/${verb}-source/${source.id}/`);
  if (!answer.ok) return toast(`${sourceName(source)}: ${why(answer)}`, { bad: true });
  const now = answer.body.source.status;
  // The API writes no empty status.
  const undo = before && { label: "Undo", act: () => restore(source, before, now) };
  return toast(`${sourceName(source)} is ${now} now.`, { about: source.id, ...undo });
}

// Gives the source the status that it had, unless somebody else has given it another meanwhile.
async function restore(source, before, written) {
  const name = sourceName(sources.get(source.id) ?? source);
  const present = sources.get(source.id)?.status ?? written;
  if (present !== written && present !== before) {
    const act = () => restore(source, before, present);
    return toast(`Somebody else set ${name} to ${present}.`,
      { about: source.id, label: `Set to ${before}`, act });
  }
  const answer = await call("PATCH", `/api/update-source/${source.id}/`, { status: before });
  if (answer.ok) return toast(`${name} is ${before} again.`, { about: source.id });
  const again = answer.status === 404 ? {} : { label: "Try again", act: () => restore(source, before, written) };
  return toast(`${name}: ${why(answer)}`, { bad: true, about: source.id, ...again });
}
