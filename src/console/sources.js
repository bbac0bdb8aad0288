// The sources as the server last said, and what has just changed about them.

import { clockAhead, follow } from "./live.js";
import { session } from "./session.js";
import { state } from "./state.js";

const FLASH = 2_000; // ms for which a change is shown as one

export const sources = new Map(); // By id.
export const revision = state(0); // Moves whenever `sources` has.
export const loaded = state(false);
export const library = state(null); // The three sections.
export const latencies = []; // ms from a write to this page, newest last.

const marks = new Map(); // id -> { fields, at }; fields is null for a row that is new.
let version = null;
let scheduled = false;

// The fields of a source that have just changed: a set, "all", or nothing.
export function fresh(id) {
  const mark = marks.get(id);
  return mark && Date.now() - mark.at < FLASH ? mark : null;
}

export function start() {
  const followed = [
    follow(() => "/ws/read_source/?mode=delta" + (version ? `&since=${version}` : ""), receive, { proves: true }),
    follow(() => "/ws/data_library/", ({ data }) => library.set(data)),
  ];
  return () => followed.forEach(({ stop }) => stop());
}

function receive(message) {
  const known = version !== null;
  version = message.version;
  if (message.data) {
    const now = new Set(message.data.map(({ id }) => id));
    for (const id of sources.keys()) if (!now.has(id)) sources.delete(id);
    message.data.forEach((source) => put(source, known));
  } else {
    message.changed.forEach((source) => put(source, true));
    message.deleted.forEach((id) => sources.delete(id));
    measure(message.changed);
  }
  loaded.set(true);
  if (scheduled) return;
  scheduled = true;
  // A burst is drawn once. Not by the frame, which a hidden page has none of.
  setTimeout(() => {
    scheduled = false;
    revision.set(revision.get() + 1);
  }, 16);
}

function put(source, mark) {
  const was = sources.get(source.id);
  sources.set(source.id, source);
  if (!mark) return;
  const fields = was && new Set(Object.keys(source).filter((key) => source[key] !== was[key]));
  if (was && !fields.size) return;
  marks.set(source.id, { fields: fields ?? null, at: Date.now() });
}

function measure(changed) {
  let newest = 0;
  for (const { updated_at } of changed) newest = Math.max(newest, Date.parse(updated_at));
  if (!newest) return;
  latencies.push(Math.max(0, Date.now() + clockAhead - newest));
  if (latencies.length > 500) latencies.shift();
}

setInterval(() => {
  const now = Date.now();
  for (const [id, { at }] of marks) if (now - at > FLASH) marks.delete(id);
}, 10_000);

session.watch((who) => {
  if (who) return;
  sources.clear();
  marks.clear();
  version = null;
  library.set(null);
  loaded.set(false);
  revision.set(revision.get() + 1);
});
