// Who is signed in: undefined until it is known, null for nobody, else { username, email, role }.

import { call } from "./api.js";
import { state } from "./state.js";

export const session = state(undefined);

export const mayEdit = (who) => who?.role === "editor" || who?.role === "admin";
export const isAdmin = (who) => who?.role === "admin";

// The one cookie of signing in that a script may read. Without it there is nothing to ask.
const COOKIE = "csrftoken";
const hasCookie = () => document.cookie.split("; ").some((pair) => pair.startsWith(COOKIE + "="));

function nobody() {
  document.cookie = `${COOKIE}=; path=/; max-age=0`;
  session.set(null);
}

// Asks the server; says whether it answered. Without an answer what was known stays.
export async function check() {
  if (!hasCookie()) {
    session.set(null);
    return true;
  }
  const answer = await call("GET", "/api/me/");
  if (answer.ok) {
    const was = session.get();
    const same = was && was.username === answer.body.username && was.role === answer.body.role;
    if (!same) session.set(answer.body);
    return true;
  }
  if (answer.status === 401 || answer.status === 403 || answer.status === 404) {
    nobody();
    return true;
  }
  return false;
}

export async function signIn(username, password) {
  const answer = await call("POST", "/api/login/", { username, password });
  if (answer.ok) await check();
  return answer;
}

export async function signOut() {
  const answer = await call("GET", "/api/logout/");
  if (answer.ok) nobody();
  return answer;
}
