// The Data Library: three sections of three counts. All but the deliveries, which are those of now, are
// of the past days that the section names.

import { html } from "./ui.js";
import { library } from "./sources.js";
import { number } from "./text.js";

const NAMES = ["Data Library", "Data Delivery", "Data Update"];
const OF_NOW = "Data Delivery";

export function Tiles() {
  const sections = library.use() ?? NAMES.map((section) => ({ section }));
  return html`<section class="tiles" aria-label="Data Library">
    ${sections.map((one) => html`<div class="tile" key=${one.section}>
      <h2>${one.section}${one.d1 && one.section !== OF_NOW && html` <small>past ${one.d1} days</small>`}</h2>
      <dl>${[1, 2, 3].map((n) => html`<div key=${n}>
        <dt>${one["t" + n] ?? "\u00a0"}</dt>
        <dd>${one["s" + n] === undefined ? "–" : number(one["s" + n])}</dd>
      </div>`)}</dl>
    </div>`)}
  </section>`;
}
