// Which sources are shown, and in which order.

import { html, useMemo } from "./ui.js";
import { FIELDS } from "./fields.js";
import { revision, sources } from "./sources.js";
import { state } from "./state.js";
import { count, number } from "./text.js";

export const NO_FILTERS = { search: "", country: "", data_vendor: "", panel: "", status: "", datadelivery_status: "" };
export const filters = state(NO_FILTERS);
// A newest-first list of what was added is where a newcomer looks.
export const order = state({ key: "created_at", down: true });

// Texts, not words from a short list.
const SEARCHED = [...FIELDS.filter(({ name, type }) => !type && name !== "status").map(({ name }) => name), "id"];
const SELECTS = [
  ["country", "Country"], ["data_vendor", "Vendor"], ["panel", "Panel"],
  ["status", "Status"], ["datadelivery_status", "Delivery"],
];
const collator = new Intl.Collator(undefined, { numeric: true, sensitivity: "base" });

// The sources to show, in order.
export function useShown() {
  const now = revision.use();
  const chosen = filters.use();
  const { key, down } = order.use();
  return useMemo(() => {
    const words = chosen.search.toLowerCase().split(/\s+/).filter(Boolean);
    const exact = SELECTS.map(([name]) => name).filter((name) => chosen[name]);
    const shown = [];
    for (const source of sources.values()) {
      if (exact.every((name) => source[name] === chosen[name]) && matches(source, words)) shown.push(source);
    }
    const sign = down ? -1 : 1;
    const isTime = key.endsWith("_at");
    const compare = isTime
      ? (a, b) => byTime(a[key], b[key])
      : (a, b) => collator.compare(a[key] ?? "", b[key] ?? "");
    return shown.sort((a, b) => sign * compare(a, b) || (a.id < b.id ? -1 : 1));
  }, [now, chosen, key, down]);
}

// As text where that says the same, which is faster.
function byTime(one, other) {
  const [a, b] = [String(one), String(other)];
  if (a.slice(-6) !== b.slice(-6)) return Date.parse(a) - Date.parse(b);
  return a < b ? -1 : Number(a > b);
}

function matches(source, words) {
  if (!words.length) return true;
  const text = SEARCHED.map((name) => source[name]).join("\n").toLowerCase();
  return words.every((word) => text.includes(word));
}

// The same in words, for paper.
export function Chosen({ shown }) {
  const chosen = filters.get();
  const words = [["search", "Search"], ...SELECTS].filter(([name]) => chosen[name]).map(([name, label]) => `${label}: ${chosen[name]}`);
  const counted = `${number(shown)} of ${count(sources.size, "source")}, printed on ${new Date().toLocaleString()}`;
  return html`<p class="chosen-words">${[...words, counted].join(" · ")}</p>`;
}

export function Filters({ shown }) {
  const chosen = filters.use();
  const now = revision.use();
  const choices = useMemo(() => {
    const sets = SELECTS.map(() => new Set());
    for (const source of sources.values()) SELECTS.forEach(([name], n) => source[name] && sets[n].add(source[name]));
    return sets.map((set) => [...set].sort(collator.compare));
  }, [now]);
  const choose = (name) => (event) => filters.set({ ...filters.get(), [name]: event.target.value });
  const isChosen = Object.values(chosen).some(Boolean);
  return html`<div class="filters" role="search" aria-label="Sources">
    <input id="search" type="search" placeholder="Search" aria-label="Search sources" value=${chosen.search}
      onInput=${choose("search")} />
    ${SELECTS.map(([name, label], n) => html`<select key=${name} name=${name} aria-label=${label}
        class=${chosen[name] ? "chosen" : ""} value=${chosen[name]} onChange=${choose(name)}>
      <option value="">${label}: all</option>
      ${choices[n].map((choice) => html`<option key=${choice} value=${choice}>${choice}</option>`)}
      ${chosen[name] && !choices[n].includes(chosen[name]) && html`<option value=${chosen[name]}>${chosen[name]}</option>`}
    </select>`)}
    ${isChosen && html`<button type="button" class="quiet" onClick=${() => filters.set(NO_FILTERS)}>Clear</button>`}
    <span class="counted" id="counted">${shown.toLocaleString()} of ${sources.size.toLocaleString()}</span>
  </div>`;
}
