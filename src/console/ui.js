// What every part draws with.

import { Component, h, options, render } from "./vendor/preact.js";
import htm from "./vendor/htm.js";

export { Component, render };
export { useEffect, useLayoutEffect, useMemo, useRef, useState } from "./vendor/hooks.js";
export const html = htm.bind(h);

// Draws what `change` changes before it returns, where the browser does not wait for the next turn.
export function drawNow(change) {
  const before = options.debounceRendering;
  options.debounceRendering = (draw) => draw();
  try {
    change();
  } finally {
    options.debounceRendering = before;
  }
}
