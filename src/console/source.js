// One source, and what can be done with sources: edit, switch on and off, delete.

import { html, useState } from "./ui.js";
import { call, why } from "./api.js";
import { Confirm } from "./dialog.js";
import { Form } from "./form.js";
import { Pipeline } from "./pipeline.js";
import { mayEdit, session } from "./session.js";
import { fresh, loaded, revision, sources } from "./sources.js";
import { Badge } from "./table.js";
import { count, fileName, isKept, moment, sourceName } from "./text.js";
import { toast } from "./toasts.js";

const SHOWN = [
  ["Vendor", "data_vendor"], ["Panel", "panel"], ["Panel group", "panel_group"], ["Data type", "data_type"],
  ["Granularity", "granularity"], ["Scope of subscription", "scope_of_subscription"],
  ["Current update", "current_update"], ["Next update", "next_status"], ["End of subscription", "end_date"],
  ["File", "data_upload"], ["Created by", "created_by"], ["Created", "created_at"], ["Changed", "updated_at"], ["Id", "id"],
];

// The windows of what is being done, and what begins it.
export function useActions() {
  const [window, setWindow] = useState(null);
  const close = () => setWindow(null);
  return {
    window,
    add: () => setWindow(html`<${Form} onClose=${close} onSaved=${(source) => {
      close();
      toast(`${sourceName(source)} was added.`);
    }} />`),
    edit: (source) => setWindow(html`<${Form} source=${source} onClose=${close} onSaved=${(saved) => {
      close();
      toast(`${sourceName(saved)} was saved.`);
    }} />`),
    remove: (source, done) => setWindow(html`<${Confirm} title="Delete source" label="Delete" onClose=${close}
      text=${`${sourceName(source)} will be gone for everybody. This cannot be undone.`}
      act=${async () => {
        const answer = await call("DELETE", `/api/delete-source/${source.id}/`);
        if (!answer.ok && answer.status !== 404) return why(answer);
        toast(`${sourceName(source)} was deleted.`);
        done?.();
        return null;
      }} />`),
    toggle,
    demo,
  };
}

async function demo() {
  const answer = await call("POST", "/api/add-demo/");
  if (answer.ok) toast(`${count(answer.body.added, "sample source")} added.`);
  else toast(why(answer), { bad: true });
}

async function toggle(source, isUndo) {
  const verb = source.status === "active" ? "deactivate" : "activate";
  const answer = await call("POST", `/api/${verb}-source/${source.id}/`);
  if (!answer.ok) return toast(why(answer), { bad: true });
  const undo = isUndo === true ? {} : {
    label: "Undo",
    act: () => toggle({ ...source, status: answer.body.source.status }, true),
  };
  return toast(`${sourceName(source)} is ${answer.body.source.status} now.`, undo);
}

export function Source({ id }) {
  const canEdit = mayEdit(session.use());
  const isLoaded = loaded.use();
  revision.use();
  const actions = useActions();
  const source = sources.get(id);
  if (!source) {
    return html`<main class="page">
      <p class="empty">${isLoaded ? "There is no such source. It may have been deleted." : "Loading…"}</p>
      <p class="empty"><a href="#/">All sources</a></p>
    </main>`;
  }
  const mark = fresh(id);
  const changed = (key) => (mark?.fields?.has(key) ? `changed flash-${mark.at % 2}` : "");
  const isActive = source.status === "active";
  return html`<main class="page">
    <p class="crumbs"><a href="#/">Sources</a></p>
    <div class="title">
      <h1 class=${changed("country")}>${sourceName(source)}</h1>
      <span class=${changed("datadelivery_status")}><${Badge} kind=${source.datadelivery_status} /></span>
      <span class=${changed("status")}><${Badge} kind=${source.status} /></span>
      ${canEdit && html`<span class="buttons">
        <button type="button" onClick=${() => actions.edit(source)}>Edit</button>
        <button type="button" onClick=${() => actions.toggle(source)}>${isActive ? "Deactivate" : "Activate"}</button>
        <button type="button" class="danger" onClick=${() => actions.remove(source, () => { location.hash = "#/"; })}>Delete</button>
      </span>`}
    </div>
    <dl class="details">${SHOWN.map(([label, key]) => html`<div key=${key} class=${key === "id" ? "whole" : ""}>
      <dt>${label}</dt>
      <dd class=${changed(key)}>${shown(key, source[key]) || html`<span class="none">–</span>`}</dd>
    </div>`)}</dl>
    <${Pipeline} id=${id} />
    ${actions.window}
  </main>`;
}

function shown(key, value) {
  if (key.endsWith("_at")) return moment(value);
  if (key !== "data_upload" || !isKept(value)) return value;
  return html`<a href=${value} download>${fileName(value)}</a>`;
}
