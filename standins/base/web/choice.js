// What somebody chooses from: a menu, in a message or a dialog.
import { element } from "./dom.js";

/**
 * One menu's node, and what is chosen in it. A single choice is the browser's own menu; of several
 * each is ticked.
 */
export class Choice {
  #item;
  #options;
  #boxes = [];
  #title = element("span");

  /**
   * item      { min_values, max_values, placeholder, disabled }, one value unless it says so
   * options   { label, value, description, default }
   * name      what it is called where nothing beside it says so
   * changed() something else is chosen; of several once the list is closed
   */
  constructor(item, options, name, changed = () => {}) {
    this.#item = item;
    this.#options = options;
    this.node = this.most > 1 ? this.#list(name, changed) : this.#menu(name, changed);
  }

  /** What takes the focus. */
  get focus() {
    return this.node.querySelector("summary") ?? this.node;
  }

  get least() {
    return this.#item.min_values ?? 1;
  }

  get most() {
    return this.#item.max_values ?? 1;
  }

  get values() {
    if (this.most > 1) return this.#boxes.filter(({ checked }) => checked).map(({ value }) => value);
    return this.node.value ? [this.node.value] : [];
  }

  /** Back to what the bot has chosen. */
  reset() {
    for (const box of this.#boxes) box.checked = box.defaultChecked;
    if (this.most > 1) return this.#retitle();
    this.node.value = this.#options.find((option) => option.default)?.value ?? "";
  }

  #menu(name, changed) {
    const node = element("select", {
      class: "choice",
      "aria-label": name,
      disabled: this.#item.disabled,
      onchange: changed,
    });
    node.append(element("option", { value: "" }, this.#placeholder));
    for (const { label, value, description, default: chosen } of this.#options) {
      const text = description ? `${label} (${description})` : label;
      node.append(element("option", { value, selected: chosen }, text));
    }
    return node;
  }

  #list(name, changed) {
    const summary = element("summary", { "aria-label": name }, this.#title);
    const list = element("div", { class: "ticks", role: "group", "aria-label": name });
    for (const option of this.#options) {
      const box = tick("checkbox", "", option);
      box.addEventListener("change", () => this.#retitle());
      this.#boxes.push(box);
      list.append(ticked(box, option));
    }
    const node = element("details", { class: "choice" }, summary, list);
    if (this.#item.disabled) node.inert = true;
    let before = JSON.stringify(this.values);
    node.addEventListener("toggle", () => {
      const now = JSON.stringify(this.values);
      if (node.open || now === before) return;
      before = now;
      changed();
    });
    node.addEventListener("keydown", (event) => {
      if (event.key !== "Escape" || !node.open) return;
      event.preventDefault(); // it closes the list, not the dialog that it is in
      event.stopPropagation();
      node.open = false;
      summary.focus();
    });
    this.#retitle();
    return node;
  }

  get #placeholder() {
    return this.#item.placeholder || "Make a selection";
  }

  #retitle() {
    const chosen = this.#options.filter((_, index) => this.#boxes[index].checked);
    this.#title.textContent = chosen.map(({ label }) => label).join(", ") || this.#placeholder;
  }
}

/** A checkbox or a radio button of an option. */
export function tick(type, name, { value, default: chosen }) {
  return element("input", { type, name, value, checked: chosen });
}

/** It with its words beside it. */
export function ticked(box, { label, description }) {
  const words = element("span", {}, label);
  if (description) words.append(element("small", {}, description));
  return element("label", { class: "tick" }, box, words);
}
