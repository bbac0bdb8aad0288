// A value that parts of the page share and are drawn again for.

import { useEffect, useState } from "./ui.js";

export function state(value) {
  const watchers = new Set();
  return {
    get: () => value,
    set(next) {
      if (Object.is(next, value)) return;
      value = next;
      watchers.forEach((watch) => watch(value));
    },
    watch(watcher) {
      watchers.add(watcher);
      return () => watchers.delete(watcher);
    },
    use() {
      const [, draw] = useState(value);
      useEffect(() => {
        draw(value); // It may have moved between the first drawing and now.
        return this.watch(draw);
      }, []);
      return value;
    },
  };
}
