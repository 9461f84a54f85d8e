// A list of suggestions above a field: commands, or the choices of an option.
import { element } from "./dom.js";

/** The one open menu. Items are { label, detail, value }; the field keeps the focus throughout. */
export class Menu {
  #node;
  #field = null;
  #items = [];
  #active = -1;
  #choose = null;

  constructor(node) {
    this.#node = node;
    // The press must not take the focus from the field; the click then chooses.
    node.addEventListener("mousedown", (event) => event.preventDefault());
    node.addEventListener("click", (event) => {
      const option = event.target.closest("[role=option]");
      if (option) this.#take(Number(option.dataset.index));
    });
  }

  get isOpen() {
    return this.#field !== null;
  }

  /**
   * active  the item that Enter takes, -1 for none yet
   * empty   the sentence shown when there is no item
   */
  open(field, items, { active = 0, empty = "", choose }) {
    this.close();
    if (!items.length && !empty) return;
    this.#field = field;
    this.#items = items;
    this.#choose = choose;
    this.#node.replaceChildren(
      ...items.map((item, index) =>
        element(
          "div",
          { role: "option", id: `menu-${index}`, dataset: { index } },
          element("b", {}, item.label),
          element("span", {}, item.detail ?? ""),
        ),
      ),
    );
    if (!items.length) this.#node.append(element("p", {}, empty));
    this.#node.hidden = false;
    field.setAttribute("aria-expanded", "true");
    this.#activate(items.length ? active : -1);
  }

  close() {
    if (!this.#field) return;
    this.#field.setAttribute("aria-expanded", "false");
    this.#field.removeAttribute("aria-activedescendant");
    this.#field = null;
    this.#node.hidden = true;
  }

  /** Whether the menu used the key. Tab takes the active item and still moves on. */
  handleKey(event) {
    if (!this.#field) return false;
    const count = this.#items.length;
    if (event.key === "Escape") this.close();
    else if (event.key === "ArrowDown" && count) this.#activate((this.#active + 1) % count);
    else if (event.key === "ArrowUp" && count)
      this.#activate((Math.max(this.#active, 0) + count - 1) % count);
    else if (event.key === "Enter" && !event.shiftKey && this.#active >= 0)
      this.#take(this.#active);
    else if (event.key === "Tab" && !event.shiftKey && this.#active >= 0) {
      if (!this.#take(this.#active)) return true; // the browser moves the focus on
    } else return false;
    event.preventDefault();
    return true;
  }

  #activate(index) {
    this.#active = index;
    for (const [place, option] of [...this.#node.children].entries()) {
      if (option.role === "option") option.setAttribute("aria-selected", String(place === index));
    }
    if (index < 0) this.#field.removeAttribute("aria-activedescendant");
    else {
      this.#field.setAttribute("aria-activedescendant", `menu-${index}`);
      this.#node.children[index].scrollIntoView({ block: "nearest" });
    }
  }

  /** Answers whether choosing moved the focus itself. */
  #take(index) {
    const field = this.#field;
    const item = this.#items[index];
    const choose = this.#choose;
    this.close();
    choose(item);
    return document.activeElement !== field;
  }
}
