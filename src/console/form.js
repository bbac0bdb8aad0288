// Adds or edits a source. What is wrong with a field is for the server to say, and is shown there.

import { html, useMemo, useRef, useState } from "./ui.js";
import { call, fieldErrors, why } from "./api.js";
import { Dialog } from "./dialog.js";
import { session } from "./session.js";
import { revision, sources } from "./sources.js";

const FIELDS = [
  { name: "country", label: "Country", suggest: true },
  { name: "data_vendor", label: "Vendor", suggest: true },
  { name: "panel", label: "Panel", suggest: true },
  { name: "panel_group", label: "Panel group", suggest: true, initial: "DKM" },
  { name: "data_type", label: "Data type", suggest: true },
  { name: "granularity", label: "Granularity", suggest: true, initial: "National" },
  { name: "scope_of_subscription", label: "Scope of subscription", suggest: true },
  { name: "status", label: "Status", suggest: true, initial: "active" },
  { name: "current_update", label: "Current update", type: "date" },
  { name: "next_update", label: "Next update", type: "date" },
  { name: "end_date", label: "End of subscription", type: "date" },
  { name: "created_by", label: "Created by" },
];

// `source` is the one to edit; without one it adds.
export function Form({ source, onClose, onSaved }) {
  const form = useRef();
  const [errors, setErrors] = useState({});
  const [busy, setBusy] = useState(false);
  const initial = useMemo(() => Object.fromEntries(FIELDS.map(({ name, initial }) =>
    [name, source ? source[name] ?? "" : name === "created_by" ? session.get().username : initial ?? ""])), []);
  const suggestions = useMemo(() => Object.fromEntries(FIELDS.filter(({ suggest }) => suggest).map(({ name }) => {
    const all = new Set();
    for (const one of sources.values()) if (one[name]) all.add(one[name]);
    return [name, [...all].sort().slice(0, 100)];
  })), []);
  revision.use();
  const now = source && sources.get(source.id);

  const submit = async (event) => {
    event.preventDefault();
    const body = {};
    for (const { name, type } of FIELDS) {
      const value = form.current.elements[name].value;
      // An edit sends what was edited, so that it undoes nobody else's.
      if (source ? value === initial[name] : value === "") continue;
      body[name] = type === "date" && value === "" ? null : value;
    }
    setBusy(true);
    const answer = source
      ? await call("PATCH", `/api/update-source/${source.id}/`, body)
      : await call("POST", "/api/add-source/", body);
    setBusy(false);
    if (answer.ok) return onSaved(answer.body);
    const fields = fieldErrors(answer) ?? { all: why(answer) };
    setErrors(fields);
    form.current.elements[FIELDS.find(({ name }) => fields[name])?.name]?.focus();
  };

  const changed = now && source.updated_at !== now.updated_at;
  return html`<${Dialog} title=${source ? "Edit source" : "Add source"} onClose=${onClose}>
    <form ref=${form} onSubmit=${submit} noValidate class="form" aria-label=${source ? "Edit source" : "Add source"}>
      ${source && !now && html`<p class="notice" role="status">Somebody has deleted this source.</p>`}
      ${changed && html`<p class="notice" role="status">It was changed meanwhile. Only the fields that you edit are saved.</p>`}
      <div class="fields">${FIELDS.map(({ name, label, type, suggest }) => html`<label class="field" key=${name}>
        <span>${label}</span>
        <input name=${name} type=${type ?? "text"} defaultValue=${initial[name]} list=${suggest ? "all-" + name : undefined}
          autocomplete="off" aria-invalid=${errors[name] ? "true" : "false"}
          aria-describedby=${errors[name] ? name + "-error" : undefined} />
        ${suggest && html`<datalist id=${"all-" + name}>
          ${suggestions[name].map((text) => html`<option key=${text} value=${text}></option>`)}</datalist>`}
        ${errors[name] && html`<span class="error" id=${name + "-error"}>${errors[name]}</span>`}
      </label>`)}</div>
      <p class="error" role="alert">${errors.all ?? errors.non_field_errors ?? ""}</p>
      <footer>
        <button type="button" onClick=${onClose}>Cancel</button>
        <button class="primary" disabled=${busy}>${source ? "Save" : "Add"}</button>
      </footer>
    </form>
  </${Dialog}>`;
}
