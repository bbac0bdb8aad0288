// Who is signed in: undefined until it is known, null for nobody, else { username, email, role }.

import { ask, refusals } from "./api.js";
import { state } from "./state.js";

export const session = state(undefined);

// The name of whoever was signed in last.
export let lastUser = "";
session.watch((who) => {
  if (who) lastUser = who.username;
});

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
  const answer = await ask("GET", "/api/me/");
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
  const answer = await ask("POST", "/api/login/", { username, password });
  if (answer.ok) await check();
  return answer;
}

export async function signOut() {
  const answer = await ask("GET", "/api/logout/");
  if (answer.ok) nobody();
  return answer;
}

// The server has said that the user has this role now.
export function hear(role) {
  const who = session.get();
  if (who && role && role !== who.role) session.set({ ...who, role });
}

// Whoever is refused may have lost their session or their role, and so may whoever comes back to the page.
refusals.watch(() => session.get() && check());
document.addEventListener("visibilitychange", () => !document.hidden && session.get() && check());
addEventListener("focus", () => session.get() && check());
