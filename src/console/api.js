// The HTTP API. What goes wrong on the way is an answer too: its status is 0.

import { state } from "./state.js";

const PATIENCE = 10_000; // ms

// How many answers have said that somebody may not do what they asked for (any more).
export const refusals = state(0);
const REFUSED = [401, 403];

function heard(answer) {
  if (REFUSED.includes(answer.status)) refusals.set(refusals.get() + 1);
  return answer;
}

export const call = async (...request) => heard(await ask(...request));

// The same for somebody who asks who they are.
export async function ask(method, path, body) {
  const request = { method, headers: {}, signal: AbortSignal.timeout(PATIENCE), cache: "no-store" };
  if (body !== undefined) {
    request.headers["content-type"] = "application/json";
    request.body = JSON.stringify(body);
  }
  try {
    const answer = await fetch(path, request);
    const text = await answer.text();
    return { ok: answer.ok, status: answer.status, body: text ? parsed(text) : {} };
  } catch {
    return { ok: false, status: 0, body: { detail: "The server does not answer. If you were saving a change, check whether it was saved." } };
  }
}

// The same for a form with files. They may take as long as they need while bytes go out; `onProgress`
// gets the part that has, from 0 to 1. `stop`, an AbortSignal, ends it.
export function upload(method, path, fields, onProgress, stop) {
  return new Promise((resolve) => {
    const request = new XMLHttpRequest();
    const failed = () => resolve({ status: 0, ok: false, body: { detail: "The file could not be sent." } });
    request.upload.onprogress = ({ loaded, total }) => onProgress(total ? loaded / total : 0);
    request.onload = () => resolve(heard({
      ok: request.status < 300, status: request.status, body: request.responseText ? parsed(request.responseText) : {},
    }));
    request.onerror = failed;
    request.onabort = failed;
    stop.addEventListener("abort", () => request.abort());
    request.open(method, path);
    request.send(fields);
  });
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return { detail: "The server's answer cannot be read." };
  }
}

// One sentence about an answer that is not ok.
export function why(answer) {
  const { detail, error, message } = answer.body ?? {};
  const fields = Object.values(fieldErrors(answer) ?? {}).join(" ");
  return String(detail ?? error ?? message ?? (fields || `The server answered ${answer.status}.`));
}

// Messages by field, if that is what an answer that is not ok says.
export function fieldErrors({ status, body }) {
  if (status !== 400 || typeof body !== "object" || body === null) return null;
  const fields = Object.entries(body).filter(([, messages]) => Array.isArray(messages));
  return fields.length ? Object.fromEntries(fields.map(([name, messages]) => [name, messages.join(" ")])) : null;
}
