// Words and numbers for people.

const today = () => new Date().toDateString();

// The time of today, or the day and the time.
export function moment(text) {
  const at = new Date(text);
  const time = at.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
  return at.toDateString() === today() ? time : `${at.toLocaleDateString()} ${time.slice(0, 5)}`;
}

export const number = (n) => n.toLocaleString();

export const count = (n, one, many = one + "s") => `${number(n)} ${n === 1 ? one : many}`;

export const sourceName = (source) => source.country || "(no country)";

// Files that came with a source are kept at /api/uploads/KEY/NAME; other texts are older than that.
export const isKept = (upload) => upload?.startsWith("/api/uploads/") ?? false;

export const fileName = (upload) => isKept(upload) ? decodeURIComponent(upload.slice(upload.lastIndexOf("/") + 1)) : upload;
