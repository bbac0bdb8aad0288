// Adds or edits a source. What is wrong with a field is for the server to say, and is shown there.
// The form keeps what was typed until it is saved or cancelled, whatever becomes of its source, of the
// session or of the user's role.

import { html, useEffect, useLayoutEffect, useMemo, useRef, useState } from "./ui.js";
import { call, fieldErrors, upload, why } from "./api.js";
import { Dialog } from "./dialog.js";
import { SignInAgain } from "./enter.js";
import { FIELDS } from "./fields.js";
import { mayEdit, session } from "./session.js";
import { loaded, revision, sources } from "./sources.js";
import { StatusField } from "./status.js";
import { fileName, sourceName } from "./text.js";

const FILE = "data_upload";
// The file is too long, or there is no room for it.
const OF_THE_FILE = [413, 507];

// `source` is the one to edit; without one it adds.
export function Form({ source, onClose, onSaved }) {
  const form = useRef();
  const untouched = useRef({});
  const [errors, setErrors] = useState({});
  const [busy, setBusy] = useState(false);
  const [sent, setSent] = useState(null);
  const [missed, setMissed] = useState(null); // The source that the server did not find.
  const who = session.use();
  const isLoaded = loaded.use();
  revision.use();
  const closed = useMemo(() => new AbortController(), []);
  useEffect(() => () => closed.abort(), []);
  const initial = useMemo(() => Object.fromEntries(FIELDS.map(({ name, initial }) =>
    [name, source ? source[name] ?? "" : name === "created_by" ? session.get().username : initial ?? ""])), []);
  const suggestions = useMemo(() => Object.fromEntries(FIELDS.filter(({ suggest }) => suggest).map(({ name }) => {
    const all = new Set();
    for (const one of sources.values()) if (one[name]) all.add(one[name]);
    return [name, [...all].sort().slice(0, 100)];
  })), []);
  // A field cannot hold everything that a row can: no line breaks, no date after the year 9999.
  useLayoutEffect(() => {
    for (const { name } of FIELDS) untouched.current[name] = form.current.elements[name].value;
  }, []);
  // What was refused to a session that is over says nothing about the next one.
  useEffect(() => setErrors({}), [who === null]);

  const now = source && sources.get(source.id);
  const isDeleted = Boolean(source && who && isLoaded && (!now || now === missed));
  const isNew = !source || isDeleted;
  const title = source ? `Edit ${sourceName(source)}` : "Add source";

  const submit = async (event) => {
    event.preventDefault();
    if (busy || !who) return;
    const body = {};
    for (const { name, type } of FIELDS) {
      const { value } = form.current.elements[name];
      // An edit sends what was edited, so that it undoes nobody else's.
      if (isNew ? value === "" : value === untouched.current[name]) continue;
      body[name] = type === "date" && value === "" ? null : value;
    }
    const { [FILE]: { files: [file] }, remove } = form.current.elements;
    const isUntouched = !source && !file
      && FIELDS.every(({ name }) => form.current.elements[name].value === untouched.current[name]);
    if (isUntouched) {
      setErrors({ all: "The form is empty. Fill in at least one field." });
      form.current.elements.country.focus();
      return;
    }
    if (!isNew && !file && remove?.checked) body[FILE] = null;
    setBusy(true);
    const to = !isNew ? ["PATCH", `/api/update-source/${source.id}/`] : ["POST", "/api/add-source/"];
    const answer = await (file ? upload(...to, withFile(body, file), setSent, closed.signal) : call(...to, body));
    if (closed.signal.aborted) return;
    setBusy(false);
    setSent(null);
    if (answer.ok) return onSaved(answer.body);
    if (!isNew && answer.status === 404) return setMissed(now);
    const where = file && OF_THE_FILE.includes(answer.status) ? FILE : "all";
    const fields = fieldErrors(answer) ?? { [where]: why(answer) };
    setErrors(fields);
    form.current.elements[[...FIELDS.map(({ name }) => name), FILE].find((name) => fields[name])]?.focus();
  };

  const changed = now && source.updated_at !== now.updated_at;
  return html`<${Dialog} title=${title} onClose=${onClose}>
    ${who === null && html`<${SignInAgain} />`}
    <form ref=${form} onSubmit=${submit} noValidate class="form" aria-label=${title}>
      <div role="status">
        ${who && !mayEdit(who) && html`<p class="notice">You are a ${who.role} now and cannot save this. What you
          typed is kept here; an admin can make you an editor again.</p>`}
        ${isDeleted && html`<p class="notice">This source was deleted by somebody meanwhile. What you typed is kept
          here: save it as a new source?${source[FILE] && " Its file is gone."}</p>`}
        ${changed && !isDeleted && html`<p class="notice">Somebody changed this source. Only the fields that you edit are saved.</p>`}
      </div>
      <div class="fields">${FIELDS.map(({ name, label, type, suggest }) => html`<label class="field" key=${name}>
        <span>${label}</span>
        ${name === "status" ? html`<${StatusField} initial=${initial.status} error=${errors.status} />` : html`<input
          name=${name} type=${type ?? "text"} defaultValue=${initial[name]} list=${suggest ? "all-" + name : undefined}
          autocomplete="off" aria-invalid=${errors[name] ? "true" : "false"}
          aria-describedby=${errors[name] ? name + "-error" : undefined} />`}
        ${suggest && html`<datalist id=${"all-" + name}>
          ${suggestions[name].map((text) => html`<option key=${text} value=${text}></option>`)}</datalist>`}
        ${errors[name] && html`<span class="error" id=${name + "-error"}>${errors[name]}</span>`}
      </label>`)}
        <div class="field">
          <label for="file">File</label>
          <input id="file" name=${FILE} type="file" aria-invalid=${errors[FILE] ? "true" : "false"}
            aria-describedby=${errors[FILE] ? FILE + "-error" : undefined} />
          ${source?.[FILE] && !isDeleted && html`<label class="tick"><input name="remove" type="checkbox" />
            <span>Remove ${fileName(source[FILE])}</span></label>`}
          ${sent !== null && html`<progress value=${sent} aria-label="Sent"></progress>`}
          ${errors[FILE] && html`<span class="error" id=${FILE + "-error"}>${errors[FILE]}</span>`}
        </div>
      </div>
      <p class="error" role="alert">${errors.all ?? errors.non_field_errors ?? ""}</p>
      <footer role="presentation">
        <button type="button" onClick=${onClose}>Cancel</button>
        <button class="primary" disabled=${busy || !who}>${isDeleted ? "Save as a new source" : source ? "Save" : "Add"}</button>
      </footer>
    </form>
  </${Dialog}>`;
}

function withFile(body, file) {
  const fields = new FormData();
  for (const [name, value] of Object.entries(body)) fields.append(name, value ?? "");
  fields.append(FILE, file);
  return fields;
}
