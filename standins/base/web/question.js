// A question before something is done. A modal <dialog>: Escape leaves everything as it is.
const part = (name) => document.getElementById(`question${name}`);

export class Question {
  #dialog = part("");
  #id = null; // of the message that it is about
  #answer = null;

  constructor() {
    part("-yes").addEventListener("click", () => this.#dialog.close("yes"));
    part("-no").addEventListener("click", () => this.#dialog.close());
    this.#dialog.addEventListener("close", () => this.#answer(this.#dialog.returnValue === "yes"));
  }

  /** A promise of whether it shall be done; `safe` says that nothing is lost by it. */
  confirmed(id, { title, text, yes, no, safe = false }) {
    this.#id = id;
    part("-title").textContent = title;
    part("-text").textContent = text;
    part("-yes").textContent = yes;
    part("-yes").className = safe ? "primary" : "danger";
    part("-no").textContent = no;
    this.#dialog.returnValue = "";
    this.#dialog.showModal();
    part("-no").focus();
    return new Promise((answer) => (this.#answer = answer));
  }

  /** The same before a message goes for good. */
  deletes(id, author) {
    return this.confirmed(id, {
      title: "Delete this message?",
      text: `What ${author} wrote goes for everybody and cannot be brought back.`,
      yes: "Delete",
      no: "Keep it",
    });
  }

  /** The message went already: there is nothing left to ask. */
  forget(id) {
    if (this.#dialog.open && id === this.#id) this.#dialog.close();
  }
}
