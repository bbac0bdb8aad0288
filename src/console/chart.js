// Bars over a row of numbers. Their heights say it, and the text below says it in words.

import { html } from "./ui.js";

// `bars` are { value, label }; `marks` the words below: one a bar, or the first's and the last's.
export function Bars({ title, bars, marks, summary }) {
  const most = Math.max(1, ...bars.map(({ value }) => value));
  const width = 100 / bars.length;
  return html`<figure class="chart">
    <figcaption>${title} <span class="none">${summary}</span></figcaption>
    <svg viewBox="0 0 100 30" preserveAspectRatio="none" role="img" aria-label=${`${title}: ${summary}`}>
      ${bars.map(({ value, label }, n) => html`<rect key=${n} x=${n * width + width * 0.1} width=${width * 0.8}
        y=${30 - (value / most) * 29} height=${value ? Math.max(0.6, (value / most) * 29) : 0}><title>${label}</title></rect>`)}
    </svg>
    <div class=${marks.length === bars.length ? "marks each" : "marks"} aria-hidden="true">
      ${marks.map((mark) => html`<span key=${mark}>${mark}</span>`)}
    </div>
  </figure>`;
}
