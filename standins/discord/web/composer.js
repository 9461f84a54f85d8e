// The composer: plain text until a command is chosen, then one field for each of its options.
import { element, icon } from "./dom.js";
import { Menu } from "./menu.js";
import { check, named } from "./options.js";

const MAX_MESSAGE_CHARS = 2000;

const part = (id) => document.getElementById(id);
/** An option is one line: line breaks, typed or pasted, become blanks. */
const oneLine = (text) => text.replace(/\s*\n\s*/g, " ");
/** What a field holds, to be brought back: a text, or the files that were chosen. */
const held = ({ option, input }) => (option.kind === "file" ? input.files : input.value);

export class Composer {
  #actions;
  #menu = new Menu(part("menu"));
  #text = part("text");
  #commands = [];
  #command = null;
  #fields = []; // of the chosen command: { option, node, input }
  #last = null; // what ArrowUp brings back: the last command, or a text that was refused
  #sending = Promise.resolve(); // one after the other, in the order they were written

  /**
   * actions.use(command name, values, files), actions.say(text)
   *     promises of the sentence of a refusal, or ""
   * actions.complete(command name, values, option's name)
   *     a promise of { choices } for what is being typed there
   */
  constructor(actions) {
    this.#actions = actions;
    part("composer").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#submit();
    });
    part("composer").addEventListener("keydown", (event) => this.#key(event));
    part("fields").addEventListener("click", (event) => {
      if (event.target === event.currentTarget) (this.#fields.at(-1)?.input ?? this.#text).focus();
    });
    this.#text.addEventListener("input", () => this.#typed());
    this.#text.addEventListener("blur", () => this.#menu.close());
    this.#leave();
  }

  /** What can be used here. Keeps what is being typed, unless its command went away. */
  offer(commands, channel) {
    this.#commands = commands;
    this.#text.placeholder = `Message ${channel} or type /`;
    if (this.#command) {
      const again = commands.find((command) => command.name === this.#command.name);
      if (!again) this.#leave();
      else if (JSON.stringify(again) !== JSON.stringify(this.#command)) {
        this.start(again, this.#held());
      }
    } else if (this.#text === document.activeElement) this.#typed();
  }

  focus() {
    (this.#fields[0]?.input ?? this.#text).focus();
  }

  /** Choose a command; `filled` fills its options by name, with what `held` answers. */
  start(command, filled = {}) {
    this.#leave();
    this.#command = command;
    this.#text.hidden = true;
    this.#text.after(element("span", { class: "command-name" }, `/${command.name}`));
    for (const option of command.options) {
      if (option.required || option.name in filled) this.#add(option, filled[option.name]);
    }
    this.#refresh();
    if (this.#fields.length) this.#fields[0].input.focus();
    else part("send").focus();
  }

  /** Back to plain, empty text. */
  #leave() {
    this.#menu.close();
    this.#say("");
    this.#command = null;
    for (const field of this.#fields) field.node.remove();
    this.#fields = [];
    part("fields").querySelector(".command-name")?.remove();
    this.#text.hidden = false;
    this.#text.value = "";
    this.#refresh();
  }

  #typed() {
    this.#say("");
    this.#refresh();
    if (!this.#text.value.startsWith("/")) return this.#menu.close();
    const typed = oneLine(this.#text.value.slice(1)).toLowerCase();
    // A blank after a whole name, of one word or of several, takes the command.
    const whole = this.#commands.find((command) => typed.startsWith(`${command.name} `));
    if (whole) return this.#begin(whole, oneLine(this.#text.value).slice(whole.name.length + 2));
    const items = this.#commands
      .filter((command) => command.name.startsWith(typed))
      .map((command) => ({
        label: `/${command.name}`,
        detail: command.description,
        value: command,
      }));
    const empty = this.#commands.length
      ? `There is no command /${typed}. Delete it back to / to see them all.`
      : "No commands yet. They appear here once the bot has registered them.";
    this.#menu.open(this.#text, items, { empty, choose: (item) => this.#begin(item.value, "") });
  }

  /** Start a command that was typed or pasted, with the options that follow its name. */
  #begin(command, rest) {
    this.start(command, named(command.options, rest.trim()));
    const input = this.#fields[0]?.input;
    if (input?.type === "textarea") {
      input.setSelectionRange(input.value.length, input.value.length); // go on at its end
    }
  }

  #add(option, filled = "") {
    const isPicked = option.choices || (option.completes && !option.required);
    const long = option.kind === "text" && !isPicked;
    const isFile = option.kind === "file";
    const name = element("span", { "aria-hidden": "true" }, option.name);
    const input = element(isFile ? "input" : "textarea", {
      ...(isFile ? { type: "file" } : { rows: 1 }),
      enterkeyhint: "send",
      inputmode: { whole: "numeric", number: "decimal" }[option.kind],
      spellcheck: long ? "true" : "false",
      "aria-label": option.name,
      "aria-describedby": "hint problem",
      "aria-required": option.required ? "true" : "false",
      ...((option.choices || option.completes) && {
        role: "combobox",
        "aria-autocomplete": "list",
        "aria-expanded": "false",
        "aria-controls": "menu",
      }),
    });
    if (!isFile) input.value = filled;
    else if (filled instanceof FileList) input.files = filled; // a pasted name is no file
    const node = element("div", { class: long ? "option long" : "option" }, name, input);
    const field = { option, node, input, offered: new Map() };
    if (!option.required) {
      const remove = () => this.#remove(field);
      node.append(
        element(
          "button",
          {
            type: "button",
            tabindex: "-1",
            "aria-label": `Remove ${option.name}`,
            onclick: remove,
          },
          icon("close"),
        ),
      );
    }
    node.addEventListener("mousedown", (event) => {
      if (event.target === name || event.target === node) {
        event.preventDefault();
        input.focus();
      }
    });
    input.addEventListener("input", () => {
      if (input.value.includes("\n")) {
        const caret = oneLine(input.value.slice(0, input.selectionStart)).length;
        input.value = oneLine(input.value);
        input.setSelectionRange(caret, caret);
      }
      this.#say("");
      this.#refresh();
      this.#suggest(field);
    });
    input.addEventListener("focus", () => {
      this.#refresh();
      this.#suggest(field);
    });
    input.addEventListener("blur", () => this.#menu.close());
    this.#fields.push(field);
    part("fields").append(node);
    return field;
  }

  #remove(field) {
    const at = this.#fields.indexOf(field);
    this.#fields.splice(at, 1);
    const next = this.#fields[at - 1] ?? this.#fields[0];
    if (next) next.input.focus();
    field.node.remove();
    this.#say("");
    this.#refresh();
  }

  /** Ask the bot what may stand here; what was typed meanwhile is asked for again. */
  async #complete({ option, input, offered }) {
    const typed = input.value;
    const { choices = [] } = await this.#actions.complete(
      this.#command.name,
      { ...this.#values(), [option.name]: typed },
      option.name,
    );
    if (input.value !== typed || document.activeElement !== input) return;
    for (const { name, value } of choices) offered.set(name, value);
    const items = choices.map(({ name }) => ({ label: name, value: name }));
    const choose = (item) => {
      input.value = item.value;
      this.#refresh();
    };
    this.#menu.open(input, items, { active: -1, choose });
  }

  #suggest(field) {
    const { option, input } = field;
    if (option.completes) return this.#complete(field);
    if (!option.choices) return this.#menu.close();
    const typed = input.value.trim().toLowerCase();
    const items = option.choices.map((choice) => ({ label: choice.name, value: choice.name }));
    const same = items.findIndex((item) => item.label.toLowerCase() === typed);
    const shown =
      same >= 0 ? items : items.filter((item) => item.label.toLowerCase().includes(typed));
    const choose = (item) => {
      input.value = item.value;
      this.#say("");
      this.#refresh();
    };
    this.#menu.open(input, shown, {
      active: same >= 0 ? same : typed ? 0 : -1,
      empty: "No choice matches. Delete what you typed to see them all.",
      choose,
    });
  }

  #key(event) {
    if (event.isComposing) return;
    if (this.#menu.handleKey(event)) return;
    const field = this.#fields.find(({ input }) => input === event.target);
    const choosing = field?.option.kind === "file" && !field.input.value; // Enter shows the files
    const typing = (field && !choosing) || event.target === this.#text;
    if (event.key === "Enter" && event.shiftKey) {
      // A line break where one is written; on the button it would be a click.
      if (event.target === part("send")) event.preventDefault();
    } else if (event.key === "Enter" && typing) {
      event.preventDefault();
      this.#submit();
    } else if (event.key === "Escape" && this.#command) {
      this.#leave();
      this.#text.focus();
    } else if (event.key === "Backspace" && field && !field.input.value) {
      event.preventDefault();
      if (!field.option.required) this.#remove(field);
      else if (!this.#fields.some(({ input }) => input.value)) {
        this.#leave();
        this.#text.value = "/";
        this.#text.focus();
        this.#typed();
      }
    } else if (
      event.key === "ArrowUp" &&
      event.target === this.#text &&
      !this.#text.value &&
      this.#last
    ) {
      event.preventDefault();
      this.#bringBack(this.#last);
    }
  }

  /** The values of the options, without those that are empty or wrong; told of what is wrong. */
  #values(wrong = () => {}) {
    const values = {};
    for (const field of this.#fields) {
      const { value, problem } = check(field.option, field.input.value);
      if (problem) wrong(problem, field);
      // Of what the bot offered the name is shown, and the value sent.
      if (value !== undefined) values[field.option.name] = field.offered.get(value) ?? value;
    }
    return values;
  }

  #submit() {
    if (!this.#command) return this.#submitText();
    const problems = [];
    const values = this.#values((...problem) => problems.push(problem));
    if (problems.length) return this.#say(...problems[0]);
    const { name } = this.#command;
    const sent = { name, filled: this.#held() };
    const files = Object.entries(sent.filled).filter(([, held]) => held instanceof FileList);
    const chosen = files.filter(([, { length }]) => length).map(([name, [file]]) => [name, file]);
    this.#last = sent;
    this.#send(sent, () => this.#actions.use(name, values, Object.fromEntries(chosen)));
  }

  #submitText() {
    const text = this.#text.value.trim();
    if (text.startsWith("/")) {
      return this.#say(`There is no command ${text.split(/\s/)[0]}. Type / to see them all.`);
    }
    if ([...text].length > MAX_MESSAGE_CHARS) {
      return this.#say(`A message has at most ${MAX_MESSAGE_CHARS} characters. Shorten it.`);
    }
    if (text) this.#send({ text }, () => this.#actions.say(text));
  }

  /** Send what is written, ready for the next at once; what is refused comes back. */
  async #send(sent, act) {
    this.#leave();
    this.#text.focus();
    this.#sending = this.#sending.then(act);
    const refusal = await this.#sending;
    if (!refusal) return;
    if (this.#command || this.#text.value) {
      this.#last = sent;
      return this.#say(`${refusal} Press ↑ in an empty line to get it back.`);
    }
    this.#bringBack(sent);
    this.#say(refusal);
  }

  #bringBack({ name, filled, text = "" }) {
    const command = this.#commands.find((one) => one.name === name);
    if (command) return this.start(command, filled);
    this.#text.value = text;
    this.#refresh();
  }

  #held() {
    return Object.fromEntries(this.#fields.map((field) => [field.option.name, held(field)]));
  }

  /** Show a sentence under the composer, and mark the field it is about. */
  #say(sentence, wrong = null) {
    part("problem").textContent = sentence;
    for (const field of this.#fields) {
      field.node.classList.toggle("wrong", field === wrong);
      field.input.setAttribute("aria-invalid", String(field === wrong));
    }
    wrong?.input.focus();
  }

  /** Hint, counter, and the options that can still be added. */
  #refresh() {
    const field =
      this.#fields.find(({ input }) => input === document.activeElement) ?? this.#fields[0];
    const [name, description, counter] = part("hint").children;
    part("hint").hidden = !field;
    if (field) {
      const length = [...field.input.value].length;
      name.textContent = field.option.name;
      description.textContent = field.option.description;
      counter.textContent =
        field.option.maxLength && length ? `${length} / ${field.option.maxLength}` : "";
    }
    const left =
      this.#command?.options.filter(
        (option) => !this.#fields.some((shown) => shown.option === option),
      ) ?? [];
    part("more").hidden = !left.length;
    part("more").replaceChildren(
      ...left.map((option) => {
        const add = () => {
          this.#add(option).input.focus();
          this.#refresh();
        };
        return element(
          "button",
          { type: "button", title: option.description, onclick: add },
          `+ ${option.name}`,
        );
      }),
    );
    part("send").disabled = !this.#command && !this.#text.value.trim();
  }
}
