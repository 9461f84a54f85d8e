// The dialog that the bot opened. A modal <dialog>: the browser keeps the focus inside, closes it on
// Escape and gives the focus back. The bot hears of it only when it is submitted.
import { element, fillAvatar, nameOf } from "./dom.js";
import { drawn } from "./form.js";

const part = (name) => document.getElementById(`form${name}`);

export class Dialogs {
  #dialog = part("");
  #form = null; // the one that is open
  #fields = [];
  #submit;

  /**
   * submit(body, files)  a promise of { refusal }
   * lost()               called when it has closed and what had the focus before is gone
   */
  constructor({ submit, lost }) {
    this.#submit = submit;
    part("-cancel").addEventListener("click", () => this.#dialog.close());
    part("-close").addEventListener("click", () => this.#dialog.close());
    part("-fields").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#send();
    });
    this.#dialog.addEventListener("close", () => {
      this.#form = null;
      if (document.activeElement === document.body) lost();
    });
  }

  /** Show a form of the bot's; one that is open already gives way. */
  open(form, bot, world, names) {
    this.#form = form;
    fillAvatar(part("-avatar"), nameOf(bot));
    part("-title").textContent = form.title;
    part("-bot").textContent = nameOf(bot);
    const { nodes, fields } = drawn(form.components, world, names);
    this.#fields = fields;
    part("-parts").replaceChildren(...nodes);
    part("-parts").scrollTop = 0;
    this.#tell("");
    this.#wait(false);
    if (!this.#dialog.open) this.#dialog.showModal();
    (fields[0] ?? part("-submit")).focus();
  }

  close() {
    if (this.#dialog.open) this.#dialog.close();
  }

  async #send() {
    if (part("-submit").ariaDisabled) return;
    const wrong = this.#fields.filter((field) => !field.check());
    if (wrong.length) return wrong[0].focus();
    const form = this.#form;
    const files = [];
    const body = { interaction_id: form.interaction_id, values: {}, files: {} };
    for (const field of this.#fields) {
      if (field.files) body.files[field.name] = field.files.map((file) => files.push(file) - 1);
      else body.values[field.name] = field.value;
    }
    this.#tell("");
    this.#wait(true);
    const { refusal = "" } = await this.#submit(body, files);
    if (form !== this.#form) return; // closed meanwhile, or another is open
    if (!refusal) return this.#dialog.close();
    this.#wait(false);
    this.#tell(refusal);
  }

  #wait(waiting) {
    part("-submit").ariaDisabled = waiting ? "true" : null; // a truly disabled one loses the focus
    part("-submit").textContent = waiting ? "Submitting…" : "Submit";
  }

  #tell(sentence) {
    part("-problem").replaceChildren(sentence && element("span", {}, sentence));
  }
}
