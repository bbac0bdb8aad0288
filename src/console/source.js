// One source: all of its fields, and its pipeline.

import { html, useEffect } from "./ui.js";
import { edit, remove, toggle } from "./actions.js";
import { Boundary } from "./boundary.js";
import { FIELDS } from "./fields.js";
import { Pipeline } from "./pipeline.js";
import { mayEdit, session } from "./session.js";
import { fresh, loaded, revision, sources } from "./sources.js";
import { Badge } from "./table.js";
import { fileName, isKept, moment, sourceName } from "./text.js";

// What the head of the page shows, and what stands below the file.
const ELSEWHERE = ["country", "status", "created_by"];
const SHOWN = [
  ...FIELDS.filter(({ name }) => !ELSEWHERE.includes(name)).map(({ name, label, shown }) => [label, shown ?? name]),
  ["File", "data_upload"], ["Created by", "created_by"], ["Created", "created_at"], ["Changed", "updated_at"], ["Id", "id"],
];
const NAMED_BY = ["country", "data_vendor", "panel"];

export function Source({ id }) {
  const canEdit = mayEdit(session.use());
  const isLoaded = loaded.use();
  revision.use();
  const source = sources.get(id);
  const name = source ? sourceName(source) : "Source";
  useEffect(() => {
    document.title = `${name} · marketplace`;
  }, [name]);
  if (!source) {
    return html`<main class="page">
      <p class="empty">${isLoaded ? "There is no such source. It may have been deleted." : "Loading…"}</p>
      <p class="empty"><a href="#/">All sources</a></p>
    </main>`;
  }
  const mark = fresh(id);
  const changed = (...keys) => (keys.some((key) => mark?.fields?.has(key)) ? `changed flash-${mark.at % 2}` : "");
  const isActive = source.status === "active";
  const gone = () => {
    if (location.hash.endsWith(id)) location.hash = "#/";
  };
  return html`<main class="page">
    <p class="crumbs"><a href="#/">Sources</a></p>
    <div class="title">
      <h1 class=${changed(...NAMED_BY)}>${name}</h1>
      <span class=${changed("datadelivery_status")}><${Badge} kind=${source.datadelivery_status} /></span>
      <span class=${changed("status")}><${Badge} kind=${source.status} /></span>
      ${canEdit && html`<span class="buttons">
        <button type="button" aria-label=${`Edit ${name}`} onClick=${() => edit(source)}>Edit</button>
        <button type="button" aria-label=${`${isActive ? "Deactivate" : "Activate"} ${name}`}
          onClick=${() => toggle(source)}>${isActive ? "Deactivate" : "Activate"}</button>
        <button type="button" class="danger" aria-label=${`Delete ${name}`} onClick=${() => remove(source, gone)}>Delete</button>
      </span>`}
    </div>
    <dl class="details">${SHOWN.map(([label, key]) => html`<div key=${key} class=${key === "id" ? "whole" : ""}>
      <dt>${label}</dt>
      <dd class=${changed(key)}><${Boundary} of=${source}><${Value} of=${source} name=${key} /></${Boundary}></dd>
    </div>`)}</dl>
    <${Boundary} of=${source}><${Pipeline} id=${id} /></${Boundary}>
  </main>`;
}

function Value({ of: source, name }) {
  const value = source[name];
  if (value === null || value === undefined || value === "") return html`<span class="none">–</span>`;
  if (name.endsWith("_at")) return moment(value);
  if (name !== "data_upload" || !isKept(value)) return String(value);
  return html`<a href=${value} download>${fileName(value)}</a>`;
}
