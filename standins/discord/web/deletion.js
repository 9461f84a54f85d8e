// The question before a message goes for good. A modal <dialog>: Escape keeps the message.
import { nameOf } from "./dom.js";

const part = (name) => document.getElementById(`deletion${name}`);

export class Deletion {
  #dialog = part("");
  #id = null; // of the message in question
  #answer = null;

  constructor() {
    part("-yes").addEventListener("click", () => this.#dialog.close("yes"));
    part("-no").addEventListener("click", () => this.#dialog.close());
    this.#dialog.addEventListener("close", () => this.#answer(this.#dialog.returnValue === "yes"));
  }

  /** A promise of whether the message shall go. */
  confirmed({ id, author }) {
    this.#id = id;
    part("-text").textContent =
      `What ${nameOf(author)} wrote goes for everybody and cannot be brought back.`;
    this.#dialog.returnValue = "";
    this.#dialog.showModal();
    part("-no").focus();
    return new Promise((answer) => (this.#answer = answer));
  }

  /** The message went already: there is nothing left to ask. */
  forget(id) {
    if (this.#dialog.open && id === this.#id) this.#dialog.close();
  }
}
