// For admins: who may sign in, and what they may do.

import { html, useEffect, useState } from "./ui.js";
import { call, why } from "./api.js";
import { Confirm } from "./dialog.js";
import { session } from "./session.js";
import { moment } from "./text.js";
import { toast } from "./toasts.js";

const ROLES = ["viewer", "editor", "admin"];

export function Users() {
  const me = session.use();
  const [users, setUsers] = useState(null);
  const [error, setError] = useState("");
  const [window, setWindow] = useState(null);

  const read = async () => {
    const answer = await call("GET", "/api/users/");
    if (answer.ok) setUsers(answer.body);
    setError(answer.ok ? "" : why(answer));
  };
  useEffect(() => void read(), []);

  const change = async (user, body) => {
    const answer = await call("PATCH", `/api/users/${user.id}/`, body);
    if (answer.ok) toast(`${user.username} was changed.`);
    else toast(why(answer), { bad: true });
    read();
  };
  const remove = (user) => setWindow(html`<${Confirm} title="Delete user" label="Delete" onClose=${() => setWindow(null)}
    text=${`${user.username} will be deleted and signed out everywhere.`}
    act=${async () => {
      const answer = await call("DELETE", `/api/users/${user.id}/`);
      read();
      return answer.ok ? null : why(answer);
    }} />`);

  return html`<main class="page">
    <h1>Users</h1>
    <p class="error" role="alert">${error}</p>
    ${!users ? html`<p class="empty">Loading…</p>` : html`<div class="scroller plain" tabindex="0" role="region" aria-label="Table of users">
      <table class="users"><thead><tr>
        <th scope="col">User name</th><th scope="col" class="wide">E-mail</th><th scope="col">Role</th>
        <th scope="col">May sign in</th><th scope="col" class="wide">Last sign-in</th><th scope="col"><span class="unseen">Actions</span></th>
      </tr></thead>
      <tbody>${users.map((user) => html`<tr key=${user.id}>
        <td>${user.username}${user.username === me.username && html` <span class="none">(you)</span>`}</td>
        <td class="wide">${user.email || html`<span class="none">–</span>`}</td>
        <td><select aria-label=${"Role of " + user.username} value=${user.role}
          onChange=${(event) => change(user, { role: event.target.value })}>
          ${ROLES.map((role) => html`<option key=${role} value=${role}>${role}</option>`)}</select></td>
        <td><button type="button" role="switch" class=${"switch " + (user.is_active ? "active" : "inactive")}
          aria-checked=${String(user.is_active)} aria-label=${`${user.username} may sign in`}
          onClick=${() => change(user, { is_active: !user.is_active })}><span class="knob"></span>${user.is_active ? "yes" : "no"}</button></td>
        <td class="wide">${user.last_login_at ? moment(user.last_login_at) : html`<span class="none">never</span>`}</td>
        <td class="actions"><button type="button" class="quiet" aria-label=${"Delete " + user.username} onClick=${() => remove(user)}>Delete</button></td>
      </tr>`)}</tbody></table>
    </div>`}
    ${window}
  </main>`;
}
