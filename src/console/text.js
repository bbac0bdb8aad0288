// Words and numbers for people.

const today = () => new Date().toDateString();

// The time of today, or the ISO date and the time. Returns a text that is not a time unchanged.
export function moment(text) {
  const at = new Date(text);
  if (Number.isNaN(at.getTime())) return String(text ?? "");
  const time = at.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
  return at.toDateString() === today() ? time : `${isoDate(at)} ${time.slice(0, 5)}`;
}

// In the local calendar.
function isoDate(at) {
  const two = (n) => String(n).padStart(2, "0");
  return `${String(at.getFullYear()).padStart(4, "0")}-${two(at.getMonth() + 1)}-${two(at.getDate())}`;
}

export const number = (n) => (typeof n === "number" ? n.toLocaleString() : "?");

export const count = (n, one, many = one + "s") => `${number(n)} ${n === 1 ? one : many}`;

// Names a source, so that it is not taken for another one of the same country.
export const sourceName = ({ country, data_vendor, panel }) =>
  [country || "(no country)", data_vendor, panel].filter(Boolean).join(" · ");

// Files that came with a source are kept at /api/uploads/KEY/NAME. Other texts are older than that,
// or were written by hand; they are shown and lead nowhere.
const KEPT = /^\/api\/uploads\/[0-9a-f-]{36}\/[^/?#\\]+$/;

export const isKept = (upload) => KEPT.test(upload ?? "");

export function fileName(upload) {
  if (!isKept(upload)) return upload;
  const name = upload.slice(upload.lastIndexOf("/") + 1);
  try {
    return decodeURIComponent(name);
  } catch {
    return name; // It has a % that encodes nothing.
  }
}
