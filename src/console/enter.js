// Signing in, and registering.

import { html, useState } from "./ui.js";
import { call, fieldErrors, why } from "./api.js";
import { lastUser, signIn } from "./session.js";

const canRegister = document.body.dataset.registration !== "closed";

export function Enter() {
  const [isNew, setIsNew] = useState(false);
  const [errors, setErrors] = useState({});
  const [busy, setBusy] = useState(false);

  const submit = async (event) => {
    event.preventDefault();
    const form = Object.fromEntries(new FormData(event.target));
    setBusy(true);
    let answer = { ok: true };
    if (isNew) answer = await call("POST", "/api/register/", form);
    if (answer.ok) answer = await signIn(form.username, form.password);
    setBusy(false);
    if (!answer.ok) setErrors(fieldErrors(answer) ?? { all: why(answer) });
  };
  const other = () => {
    setIsNew(!isNew);
    setErrors({});
  };
  const field = (name, label, more) =>
    html`<${Field} key=${name} name=${name} label=${label} error=${errors[name]} ...${more} />`;
  const password = { type: "password", required: true, autocomplete: isNew ? "new-password" : "current-password" };

  return html`<main class="enter">
    <form onSubmit=${submit} aria-label=${isNew ? "Register" : "Sign in"}>
      <h1>marketplace</h1>
      <p class="lead">${isNew ? "Create an account." : "Sign in to watch and edit the sources."}</p>
      ${field("username", "User name", { autocomplete: "username", required: true, autofocus: true })}
      ${isNew && field("email", "E-mail (optional)", { type: "email", autocomplete: "email" })}
      ${field("password", "Password", password)}
      ${isNew && field("confirm_password", "Password again", password)}
      <p class="error" role="alert">${errors.all ?? errors.non_field_errors ?? ""}</p>
      <button class="primary" disabled=${busy}>${isNew ? "Register" : "Sign in"}</button>
      ${canRegister && html`<button type="button" class="quiet" onClick=${other}>
        ${isNew ? "I have an account" : "Register"}</button>`}
    </form>
  </main>`;
}

// In a window whose user's session has ended: signing in there keeps what the window has.
export function SignInAgain() {
  const [error, setError] = useState("");
  const [busy, setBusy] = useState(false);
  const submit = async (event) => {
    event.preventDefault();
    const { username, password } = Object.fromEntries(new FormData(event.target));
    setBusy(true);
    const answer = await signIn(username, password);
    setBusy(false);
    if (!answer.ok) setError(why(answer));
  };
  return html`<form class="again" onSubmit=${submit} aria-label="Sign in again">
    <p class="notice" role="alert">Your session has ended. Sign in again; your input is kept.</p>
    <${Field} name="username" label="User name" autocomplete="username" required defaultValue=${lastUser} />
    <${Field} name="password" label="Password" type="password" autocomplete="current-password" required />
    <button class="primary" disabled=${busy}>Sign in</button>
    <p class="error" role="alert">${error}</p>
  </form>`;
}

function Field({ name, label, error, ...more }) {
  return html`<label class="field">
    <span>${label}</span>
    <input name=${name} aria-invalid=${error ? "true" : "false"}
      aria-describedby=${error ? name + "-error" : undefined} ...${more} />
    ${error && html`<span class="error" id=${name + "-error"}>${error}</span>`}
  </label>`;
}
