// Whether the page is being printed. Then all rows of a list are drawn, not only those in sight.

import { drawNow } from "./ui.js";
import { state } from "./state.js";

export const printing = state(false);

const set = (isPrinting) => drawNow(() => printing.set(isPrinting));

addEventListener("beforeprint", () => set(true));
addEventListener("afterprint", () => set(false));
// Tools that show the page as if on paper send no other event.
matchMedia("print").addEventListener("change", ({ matches }) => set(matches));
