// The dialog that the bot opened. A modal <dialog>: the browser keeps the focus inside, closes it on
// Escape and gives the focus back.
import { element, fillAvatar } from "./dom.js";

const part = (name) => document.getElementById(`form${name}`);

export class Dialogs {
  #dialog = part("");
  #form = null; // the one that is open
  #submit;

  /**
   * submit(about, values, places, files)  a promise of { refusal, problems, keep }: a sentence,
   *     sentences by the names of fields, whether it stays open though nothing is wrong. `places`
   *     says of each field which of the files are its own
   * left(about)  somebody has closed it
   * lost()       called when it has closed and what had the focus before is gone
   */
  constructor({ submit, left = () => {}, lost }) {
    this.#submit = submit;
    part("-cancel").addEventListener("click", () => this.#dialog.close());
    part("-close").addEventListener("click", () => this.#dialog.close());
    part("-fields").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#send();
    });
    this.#dialog.addEventListener("close", () => {
      const form = this.#form;
      this.#form = null;
      if (form) left(form.about);
      if (document.activeElement === document.body) lost();
    });
  }

  /** What the one that is open is about; null without any. */
  get about() {
    return this.#form?.about ?? null;
  }

  /**
   * Show a form of the bot's; one that is open already gives way.
   *
   * form  { about, title, bot, nodes, fields, submit, cancel }: the last are its buttons' words,
   *       `submit` null where there is nothing to submit
   */
  open(form) {
    this.#form = { submit: "Submit", cancel: "Cancel", ...form };
    fillAvatar(part("-avatar"), form.bot);
    part("-title").textContent = form.title;
    part("-bot").textContent = form.bot;
    part("-cancel").textContent = this.#form.cancel;
    part("-submit").hidden = this.#form.submit === null;
    part("-parts").replaceChildren(...form.nodes);
    part("-parts").scrollTop = 0;
    this.#tell("");
    this.#wait(false);
    if (!this.#dialog.open) this.#dialog.showModal();
    (form.fields[0] ?? part(this.#form.submit === null ? "-close" : "-submit")).focus();
  }

  /** Close it for another reason than that somebody left it. */
  close() {
    this.#form = null;
    if (this.#dialog.open) this.#dialog.close();
  }

  async #send() {
    if (part("-submit").ariaDisabled) return;
    const form = this.#form;
    const wrong = form.fields.filter((field) => !field.check());
    if (wrong.length) return wrong[0].focus();
    const [files, values, places] = [[], {}, {}];
    for (const field of form.fields) {
      if (field.files) places[field.name] = field.files.map((file) => files.push(file) - 1);
      else values[field.name] = field.value;
    }
    this.#tell("");
    this.#wait(true);
    const { refusal = "", problems = {}, keep } = await this.#submit(form.about, values, places, files);
    if (form !== this.#form) return; // closed meanwhile, or another is open
    this.#wait(false);
    const refused = form.fields.filter(({ name }) => problems[name]);
    for (const field of refused) field.tell(problems[field.name]);
    if (refused.length) return refused[0].focus();
    if (refusal) return this.#tell(refusal);
    if (!keep) this.close();
  }

  #wait(waiting) {
    part("-submit").ariaDisabled = waiting ? "true" : null; // a truly disabled one loses the focus
    part("-submit").textContent = waiting ? "Submitting…" : (this.#form.submit ?? "");
  }

  #tell(sentence) {
    part("-problem").replaceChildren(sentence && element("span", {}, sentence));
  }
}
