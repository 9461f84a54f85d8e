// A composer: messages, commands, mentions and files, of a channel or of a thread.
import { element, icon } from "./dom.js";
import { Menu } from "./menu.js";

const MAX_MESSAGE_CHARS = 40_000;
const MENTION = /(?:^|\s)@([\p{L}\p{N} ._-]*)$/u;
const MOST_OFFERED = 8;

export class Composer {
  #actions;
  #form;
  #menu;
  #text;
  #files = element("ul", { class: "chosen", "aria-label": "Files" });
  #problem;
  #button;
  #chosen = [];
  #commands = [];
  #people = [];
  #last = null; // what ArrowUp brings back
  #sending = Promise.resolve(); // one after the other, in the order they were written

  /**
   * form   the node that it is built in
   * id     of its text
   * label  what the text is called
   *
   * actions.use(text), actions.say(text, files)  promises of the sentence of a refusal, or ""
   * actions.shortcuts(left, top, tell)  open the menu of the shortcuts that belong to no message
   */
  constructor(form, id, label, actions) {
    this.#actions = actions;
    this.#form = form;
    const menu = element("div", { class: "menu", id: `${id}-menu`, role: "listbox", hidden: true });
    menu.ariaLabel = "Suggestions";
    this.#menu = new Menu(menu);
    this.#problem = element("p", { class: "problem", id: `${id}-problem`, role: "alert" });
    this.#text = element("textarea", {
      class: "text",
      id,
      rows: 1,
      role: "combobox",
      "aria-autocomplete": "list",
      "aria-expanded": "false",
      "aria-controls": menu.id,
      "aria-label": label,
      "aria-describedby": this.#problem.id,
      enterkeyhint: "send",
    });
    this.#button = element("button", { class: "send", "aria-label": "Send" }, icon("send"));
    form.append(
      menu,
      element(
        "div",
        { class: "card" },
        this.#files,
        element("div", { class: "line" }, ...this.#extras(id), this.#text, this.#button),
      ),
      this.#problem,
    );
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#submit();
    });
    form.addEventListener("keydown", (event) => this.#key(event));
    this.#text.addEventListener("input", () => this.#typed());
    this.#text.addEventListener("blur", () => this.#menu.close());
    this.#empty();
  }

  /** What can be typed here: commands, of a thread none, and people; `closed` says why nothing. */
  offer({ commands, people, placeholder, closed = "" }) {
    this.#commands = commands;
    this.#people = people;
    this.#text.placeholder = closed || placeholder;
    this.#text.disabled = Boolean(closed);
    this.#form.classList.toggle("closed", Boolean(closed));
  }

  focus() {
    this.#text.focus();
  }

  /** Begin with a text. */
  start(text) {
    this.#text.value = text;
    this.#refresh();
    this.focus();
  }

  /** What goes along: files, and what is no text at all. */
  #extras(id) {
    const input = element("input", { type: "file", id: `${id}-files`, multiple: true, tabindex: "-1" });
    input.hidden = true;
    input.ariaLabel = "Attach files";
    input.addEventListener("change", () => {
      this.#chosen.push(...input.files);
      input.value = ""; // the same file can be chosen again after it was removed
      this.#refresh();
      this.focus();
    });
    const plain = { type: "button", class: "extra" };
    const attach = element("button", { ...plain, onclick: () => input.click() }, icon("plus"));
    attach.title = attach.ariaLabel = "Attach files";
    if (!this.#actions.shortcuts) return [input, attach];
    const open = (event) => {
      const { left, top } = event.currentTarget.getBoundingClientRect();
      this.#actions.shortcuts(left, top, (sentence) => this.#say(sentence));
    };
    const shortcuts = element("button", { ...plain, onclick: open }, icon("bolt"));
    shortcuts.title = shortcuts.ariaLabel = "Shortcuts";
    shortcuts.setAttribute("aria-haspopup", "menu");
    return [input, attach, shortcuts];
  }

  #typed() {
    this.#say("");
    this.#refresh();
    const { value, selectionStart: caret } = this.#text;
    if (/^\/\S*$/.test(value)) return this.#suggestCommands(value.toLowerCase());
    const name = MENTION.exec(value.slice(0, caret))?.[1];
    if (name === undefined) return this.#menu.close();
    const typed = name.toLowerCase();
    const items = this.#people
      .filter((one) => [one.name, one.real_name].some((said) => said.toLowerCase().startsWith(typed)))
      .slice(0, MOST_OFFERED)
      .map((one) => ({ label: `@${one.name}`, detail: one.real_name, value: `@${one.name} ` }));
    const choose = ({ value: mention }) => {
      const start = caret - name.length - 1;
      this.#text.setRangeText(mention, start, caret, "end");
      this.#refresh();
    };
    if (items.length) this.#menu.open(this.#text, items, { choose });
    else this.#menu.close();
  }

  #suggestCommands(typed) {
    const items = this.#commands
      .filter(({ command }) => command.startsWith(typed))
      .map(({ command, description, usage_hint: hint }) => ({
        label: hint ? `${command} ${hint}` : command,
        detail: description,
        value: `${command} `,
      }));
    if (!items.length) return this.#menu.close();
    // Of a command that is there already nothing is left to take: Enter sends it.
    const active = this.#commands.some(({ command }) => command === typed) ? -1 : 0;
    this.#menu.open(this.#text, items, { active, choose: ({ value }) => this.start(value) });
  }

  #key(event) {
    if (event.isComposing || this.#menu.handleKey(event)) return;
    const typing = event.target === this.#text;
    if (event.key === "Enter" && !event.shiftKey && typing) {
      event.preventDefault();
      this.#submit();
    } else if (event.key === "ArrowUp" && typing && !this.#text.value && this.#last) {
      event.preventDefault();
      this.#bringBack(this.#last);
    }
  }

  #submit() {
    const text = this.#text.value.trim();
    const files = this.#chosen;
    if ((!text && !files.length) || this.#text.disabled) return;
    if ([...text].length > MAX_MESSAGE_CHARS) {
      return this.#say(`A message has at most ${MAX_MESSAGE_CHARS} characters. Shorten it.`);
    }
    if (!text.startsWith("/")) return this.#send({ text, files }, () => this.#actions.say(text, files));
    const command = text.split(/\s/)[0];
    if (!this.#actions.use) {
      return this.#say(`${command} does not work in a thread: mention the app instead, with @.`);
    }
    if (!this.#commands.some((one) => one.command === command)) {
      return this.#say(`${command} is not a valid command. Type / to see them all.`);
    }
    if (files.length) {
      return this.#say(`${command} takes no files: use it alone, and the form that opens takes them.`);
    }
    this.#send({ text, files }, () => this.#actions.use(text));
  }

  /** Send what is written, ready for the next at once; what is refused comes back. */
  async #send(sent, act) {
    this.#last = { ...sent, files: [] };
    this.#empty();
    this.focus();
    this.#sending = this.#sending.then(act);
    const refusal = await this.#sending;
    if (!refusal) return;
    if (this.#text.value || this.#chosen.length) {
      this.#last = sent;
      return this.#say(`${refusal} Press ↑ in an empty line to get it back.`);
    }
    this.#bringBack(sent);
    this.#say(refusal);
  }

  #bringBack({ text, files }) {
    this.#text.value = text;
    this.#chosen = [...files];
    this.#refresh();
  }

  #empty() {
    this.#menu.close();
    this.#say("");
    this.#text.value = "";
    this.#chosen = [];
    this.#refresh();
  }

  #say(sentence) {
    this.#problem.textContent = sentence;
  }

  #refresh() {
    this.#button.disabled = !this.#text.value.trim() && !this.#chosen.length;
    this.#files.replaceChildren(
      ...this.#chosen.map((file, index) => {
        const remove = () => {
          this.#chosen.splice(index, 1);
          this.#refresh();
          this.focus();
        };
        const name = { type: "button", "aria-label": `Remove ${file.name}`, onclick: remove };
        return element("li", {}, element("span", {}, file.name), element("button", name, icon("close")));
      }),
    );
  }
}
