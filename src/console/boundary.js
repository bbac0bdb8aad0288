// Keeps an error where it happened: what cannot be drawn is replaced, and the rest of the page stays.

import { Component, html } from "./ui.js";

// `of` is what is drawn; once it is another, drawing is tried again. `instead` gives what is shown
// in place of it.
export class Boundary extends Component {
  static getDerivedStateFromProps({ of }, state) {
    return of === state.of ? null : { of, error: null };
  }

  static getDerivedStateFromError(error) {
    return { error };
  }

  componentDidCatch(error) {
    console.error("a part of the page cannot be drawn:", error);
  }

  render({ children, instead = Broken }, { error }) {
    return error ? instead(error, () => this.setState({ error: null })) : children;
  }
}

const Broken = (error, retry) => html`<div class="broken" role="alert">
  <p class="error">This part of the page cannot be shown: ${String(error.message ?? error)}</p>
  <button type="button" onClick=${retry}>Try again</button>
</div>`;
