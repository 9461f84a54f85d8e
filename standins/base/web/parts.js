// The parts of what is drawn, one below the other: only those that changed are drawn anew.
import { element } from "./dom.js";

export class Parts {
  #body;
  #whole;
  #parts = new Map();

  /** whole  what gets the focus when the part that had it has nothing left to take it */
  constructor(body, whole) {
    this.#body = body;
    this.#whole = whole;
  }

  /** Replace the named part if what it is made of changed; the focus stays where it was. */
  draw(name, key, build) {
    const wanted = JSON.stringify(key);
    const part = this.#parts.get(name) ?? {
      node: element("div", { class: `part-${name}` }),
      key: null,
    };
    if (part.key === wanted) return;
    const controls = () => [...part.node.querySelectorAll("[data-id]")];
    const before = controls();
    const focused = part.node.contains(document.activeElement)
      ? document.activeElement.dataset.id
      : null;
    part.node.replaceChildren(...build());
    part.key = wanted;
    if (!this.#parts.has(name)) {
      this.#parts.set(name, part);
      this.#body.append(part.node);
    }
    if (focused === null) return;
    const after = controls();
    // What changed its meaning when it was pressed, such as Blur to Unblur, kept its place.
    const at = before.length === after.length ? place(before, focused) : -1;
    (after[place(after, focused)] ?? after[at] ?? this.#whole).focus();
  }
}

/** Which of these nodes has this id. */
function place(nodes, id) {
  return nodes.findIndex((node) => node.dataset.id === id);
}
