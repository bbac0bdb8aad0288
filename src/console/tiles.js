// The Data Library: three sections of three counts.

import { html } from "./ui.js";
import { library } from "./sources.js";
import { number } from "./text.js";

const NAMES = ["Data Library", "Data Delivery", "Data Update"];

export function Tiles() {
  const sections = library.use() ?? NAMES.map((section) => ({ section }));
  return html`<section class="tiles" aria-label="Data Library">
    ${sections.map((one) => html`<div class="tile" key=${one.section}>
      <h2>${one.section}</h2>
      <dl>${[1, 2, 3].map((n) => html`<div key=${n}>
        <dt>${one["t" + n] ?? "\u00a0"}</dt>
        <dd>${one["s" + n] === undefined ? "–" : number(one["s" + n])}</dd>
      </div>`)}</dl>
    </div>`)}
  </section>`;
}
