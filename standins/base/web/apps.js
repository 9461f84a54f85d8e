// The apps' commands in the menu of a message: a popover, which the browser closes on Escape and on
// a press elsewhere, and which gives the focus back.
import { element } from "./dom.js";

const EDGE_PX = 8; // how near the window's edge it may come

export class Apps {
  #node = document.getElementById("apps");
  #commands = [];

  constructor() {
    this.#node.addEventListener("keydown", (event) => this.#key(event));
  }

  /** What can be used on messages. */
  offer(commands) {
    this.#commands = commands;
    if (!commands.length) this.#node.hidePopover();
  }

  get isEmpty() {
    return !this.#commands.length;
  }

  /** Open it at a place of the window; `use` takes what is chosen, those on messages or others. */
  open(left, top, use, commands = this.#commands) {
    const items = commands.map((command) => {
      const choose = () => {
        this.#node.hidePopover();
        use(command);
      };
      const properties = { type: "button", role: "menuitem", tabindex: "-1", onclick: choose };
      return element("button", properties, command.name);
    });
    this.#node.replaceChildren(element("p", { id: "apps-title" }, "Apps"), ...items);
    this.#node.showPopover();
    const { width, height } = this.#node.getBoundingClientRect();
    const within = (start, size, room) => Math.max(EDGE_PX, Math.min(start, room - size - EDGE_PX));
    this.#node.style.setProperty("left", `${within(left, width, innerWidth)}px`);
    this.#node.style.setProperty("top", `${within(top, height, innerHeight)}px`);
    items[0].focus();
  }

  #key(event) {
    const items = [...this.#node.querySelectorAll("[role=menuitem]")];
    const at = items.indexOf(document.activeElement);
    const next = {
      ArrowDown: (at + 1) % items.length,
      ArrowUp: (at + items.length - 1) % items.length,
      Home: 0,
      End: items.length - 1,
    }[event.key];
    if (event.key === "Tab") this.#node.hidePopover();
    if (next === undefined) return;
    event.preventDefault();
    items[next].focus();
  }
}
