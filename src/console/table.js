// The table of sources. Only the rows in sight are in the page, so ten thousand cost what forty do.
// On paper all of them are, and nothing to press.

import { html, useEffect, useLayoutEffect, useRef, useState } from "./ui.js";
import { Boundary } from "./boundary.js";
import { Chosen, order } from "./filters.js";
import { printing } from "./print.js";
import { fresh, loaded, sources } from "./sources.js";
import { isSwitched } from "./status.js";
import { moment, sourceName } from "./text.js";

const ROW = 34; // px, as in the style
const BEYOND = 8; // rows above and below those in sight

const COLUMNS = [
  { key: "country", title: "Country" },
  { key: "data_vendor", title: "Vendor" },
  { key: "panel", title: "Panel", wide: true },
  { key: "data_type", title: "Type", wide: true },
  { key: "granularity", title: "Granularity", wide: true },
  { key: "current_update", title: "Current update", wide: true },
  { key: "next_status", title: "Next update", wide: true },
  { key: "datadelivery_status", title: "Delivery" },
  { key: "status", title: "Status" },
  { key: "updated_at", title: "Changed", wide: true },
];

export function Table({ rows, canEdit: mayEdit, onEdit, onToggle, onDelete, onDemo }) {
  const scroller = useRef();
  const [view, setView] = useState({ top: 0, height: 800 });
  const [active, setActive] = useState(null); // The index that keys have moved to.
  const { key, down } = order.use();
  const isPrinting = printing.use();
  const canEdit = mayEdit && !isPrinting;

  useLayoutEffect(() => {
    const look = () => setView({ top: scroller.current.scrollTop, height: scroller.current.clientHeight });
    const observer = new ResizeObserver(look);
    observer.observe(scroller.current);
    scroller.current.addEventListener("scroll", look, { passive: true });
    return () => observer.disconnect();
  }, []);

  useEffect(() => {
    if (active !== null) scroller.current.querySelector(`[aria-rowindex="${active + 2}"] a`)?.focus({ preventScroll: true });
  }, [active, view]);

  // For who measures how long people wait.
  useEffect(() => {
    if (rows.length) performance.mark("sources-drawn");
  }, [rows.length > 0]);

  const first = isPrinting ? 0 : Math.max(0, Math.floor(view.top / ROW) - BEYOND);
  const last = isPrinting ? rows.length : Math.min(rows.length, Math.ceil((view.top + view.height) / ROW) + BEYOND);

  const move = (event) => {
    const at = event.target.closest("tr[aria-rowindex]");
    if (!at || event.target.tagName === "SELECT") return;
    const page = Math.floor(view.height / ROW) - 1;
    const by = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -Infinity, End: Infinity }[event.key];
    if (by === undefined || event.ctrlKey || event.altKey || event.metaKey) return;
    event.preventDefault();
    const next = Math.min(rows.length - 1, Math.max(0, Number(at.getAttribute("aria-rowindex")) - 2 + by));
    const { scrollTop, clientHeight } = scroller.current;
    const top = next * ROW;
    if (top < scrollTop) scroller.current.scrollTop = top;
    else if (top + 2 * ROW > scrollTop + clientHeight) scroller.current.scrollTop = top + 2 * ROW - clientHeight;
    setActive(next);
  };
  const sort = (next) => order.set({ key: next, down: next === key ? !down : next.endsWith("_at") });

  return html`<div class="scroller" ref=${scroller} tabindex="0" role="region" aria-label="Table of sources">
    ${isPrinting && html`<${Chosen} shown=${rows.length} />`}
    <table class="sources" aria-rowcount=${rows.length + 1} onKeyDown=${move} onFocusOut=${() => setActive(null)}>
      <colgroup>
        ${COLUMNS.map(({ key, wide }) => html`<col key=${key} class=${`c-${key}` + (wide ? " wide" : "")} />`)}
        ${canEdit && html`<col class="c-actions wide" />`}
      </colgroup>
      <thead><tr aria-rowindex="1">
        ${COLUMNS.map((column) => html`<th key=${column.key} scope="col" class=${column.wide ? "wide" : ""}
            aria-sort=${column.key === key ? (down ? "descending" : "ascending") : "none"}>
          ${isPrinting ? column.title : html`<button type="button" onClick=${() => sort(column.key)}>${column.title}
            <span class="arrow" aria-hidden="true">${column.key === key ? (down ? "↓" : "↑") : ""}</span></button>`}
        </th>`)}
        ${canEdit && html`<th scope="col" class="wide"><span class="unseen">Actions</span></th>`}
      </tr></thead>
      <tbody>
        <${Gap} key="above" rows=${first} />
        ${rows.slice(first, last).map((source, n) => html`<${Boundary} key=${source.id} of=${source}
          instead=${() => html`<${BrokenRow} source=${source} index=${first + n} columns=${COLUMNS.length + Number(canEdit)} />`}>
          <${Row} source=${source} index=${first + n} canEdit=${canEdit} onEdit=${onEdit} onToggle=${onToggle} onDelete=${onDelete} />
        </${Boundary}>`)}
        <${Gap} key="below" rows=${rows.length - last} />
      </tbody>
    </table>
    ${!rows.length && html`<${Nothing} onDemo=${canEdit && onDemo} />`}
  </div>`;
}

function Row({ source, index, canEdit, onEdit, onToggle, onDelete }) {
  const mark = fresh(source.id);
  const name = sourceName(source);
  const isActive = source.status === "active";
  const cell = (column) => {
    const value = source[column.key];
    switch (column.key) {
      case "country":
        return html`<a href=${"#/sources/" + source.id} title=${name} aria-label=${name}>${value || "(no country)"}</a>`;
      case "status":
        return canEdit && isSwitched(value)
          ? html`<button type="button" role="switch" class="switch" aria-checked=${String(isActive)}
              aria-label=${`${name}: active`} onClick=${() => onToggle(source)}><span class="knob"></span>${value}</button>`
          : html`<${Badge} kind=${value} />`;
      case "datadelivery_status":
        return html`<${Badge} kind=${value} />`;
      case "updated_at":
        return html`<time datetime=${value}>${moment(value)}</time>`;
      default:
        return value ? String(value) : html`<span class="none">–</span>`;
    }
  };
  return html`<tr aria-rowindex=${index + 2} data-id=${source.id} class=${mark && !mark.fields ? `new flash-${mark.at % 2}` : ""}>
    ${COLUMNS.map((column) => html`<td key=${column.key}
        class=${(column.wide ? "wide" : "") + (mark?.fields?.has(column.key) ? ` changed flash-${mark.at % 2}` : "")}
        >${cell(column)}</td>`)}
    ${canEdit && html`<td class="wide actions">
      <button type="button" class="quiet" aria-label=${"Edit " + name} onClick=${() => onEdit(source)}>Edit</button>
      <button type="button" class="quiet" aria-label=${"Delete " + name} onClick=${() => onDelete(source)}>Delete</button>
    </td>`}
  </tr>`;
}

const BrokenRow = ({ source, index, columns }) => html`<tr aria-rowindex=${index + 2} data-id=${source.id}>
  <td colspan=${columns} class="error">This source cannot be shown here. <a href=${"#/sources/" + source.id}>${source.id}</a></td>
</tr>`;

// The kind is any text. It is no class, so that it gets no style by its name.
export const Badge = ({ kind }) => kind
  ? html`<span class="badge" data-kind=${kind} title=${kind}>${kind}</span>`
  : html`<span class="none">–</span>`;

const Gap = ({ rows }) => rows > 0 && html`<tr aria-hidden="true" class="gap" style=${{ height: `${rows * ROW}px` }}></tr>`;

function Nothing({ onDemo }) {
  const isLoaded = loaded.use();
  if (!isLoaded) return html`<p class="empty">Loading the sources…</p>`;
  if (sources.size) return html`<p class="empty">No source matches.</p>`;
  return html`<div class="empty">
    <p>No sources yet. ${onDemo ? "Add one here, or insert a row with psql and watch it appear." : "They appear here as soon as somebody adds one."}</p>
    ${onDemo && html`<button type="button" id="demo" onClick=${onDemo}>Load sample sources</button>`}
  </div>`;
}
