// A dialog that the bot opened, as a form: one part below the other, and what is filled in.
import { Choice, MENUS, tick, ticked } from "./choice.js";
import { element, icon } from "./dom.js";
import { markdown } from "./markdown.js";

const ROW = 1;
const INPUT = 4;
const TEXT = 10;
const FILES = 19;
const RADIOS = 21;
const BOXES = 22;
const BOX = 23;

const LONG = 2; // a text input's style
const MAX_INPUT_CHARS = 4000;
const REQUIRED = "This field is required.";

const charsIn = (text) => [...text].length;

/** The nodes of a form's parts, and the fields among them. */
export function drawn(components, world, names) {
  const fields = [];
  const nodes = components.map((part) => {
    if (part.type === TEXT) {
      return element("div", { class: "content" }, ...markdown(part.content, names));
    }
    const item = part.type === ROW ? part.components[0] : part.component;
    const field = new Field(part.type === ROW ? item.label : part.label, part.description, item, world);
    fields.push(field);
    return field.node;
  });
  return { nodes, fields };
}

/** One field with its label. `name` is its custom_id, `value` what is submitted, `files` of files. */
class Field {
  #required;
  #say = element("p", { class: "problem", role: "alert" });
  #control; // { node, focus, value, problem(), files }

  constructor(label, description, item, world) {
    this.name = item.custom_id;
    this.#required = (item.required ?? true) && item.type !== BOX;
    const id = `field-${item.id}`;
    const make = MENUS.includes(item.type) ? menu : MAKERS[item.type];
    this.#control = make(item, { id, label, world });
    const grouped = this.#control.grouped;
    const title = element(grouped ? "legend" : "label", grouped ? {} : { for: id }, label);
    if (this.#required) title.append(element("b", { "aria-hidden": "true" }, " *"));
    const below = description ? element("p", { class: "help", id: `${id}-help` }, description) : "";
    this.#say.id = `${id}-problem`;
    const { focus } = this.#control;
    focus.setAttribute("aria-describedby", [below && below.id, this.#say.id].filter(Boolean).join(" "));
    if (this.#required && !grouped) focus.setAttribute("aria-required", "true");
    this.node = element(grouped ? "fieldset" : "div", { class: "field" }, title, below);
    this.node.append(this.#control.node, this.#say);
    this.node.addEventListener("input", () => this.#tell(""));
  }

  get value() {
    return this.#control.value();
  }

  get files() {
    return this.#control.files?.() ?? null;
  }

  focus() {
    this.#control.focus.focus();
  }

  /** Whether it may be submitted; if not, it says why. */
  check() {
    const problem = this.#control.problem(this.#required);
    this.#tell(problem);
    return !problem;
  }

  #tell(sentence) {
    this.#say.textContent = sentence;
    this.node.classList.toggle("wrong", Boolean(sentence));
    if (sentence) this.#control.focus.setAttribute("aria-invalid", "true");
    else this.#control.focus.removeAttribute("aria-invalid");
  }
}

/** The sentence about how many are chosen of a list, "" where that is fine. */
function counted(chosen, least, most, required, what) {
  if (!chosen) return required ? REQUIRED : "";
  if (chosen < least) return `Choose at least ${least} ${what}.`;
  return chosen > most ? `Choose at most ${most} ${what}.` : "";
}

function menu(item, { id, label, world }) {
  const choice = new Choice(item, world, label);
  choice.reset();
  const { focus } = choice;
  focus.id = id;
  return {
    node: choice.node,
    focus,
    grouped: choice.most > 1,
    value: () => choice.values,
    problem: (required) =>
      counted(choice.values.length, choice.least, choice.most, required, "of the list"),
  };
}

function textInput(item, { id }) {
  const most = item.max_length ?? MAX_INPUT_CHARS;
  const least = item.min_length ?? 0;
  const long = item.style === LONG;
  const properties = { id, placeholder: item.placeholder, autocomplete: "off" };
  const input = long
    ? element("textarea", { ...properties, rows: 3 })
    : element("input", { ...properties, type: "text" });
  input.value = item.value ?? "";
  const counter = element("small", { class: "counter", "aria-hidden": "true" });
  const count = () => {
    const chars = charsIn(input.value);
    counter.textContent = `${chars} / ${most}`;
    counter.classList.toggle("over", chars > most);
  };
  input.addEventListener("input", count);
  count();
  return {
    node: element("div", { class: long ? "entry long" : "entry" }, input, counter),
    focus: input,
    value: () => input.value,
    problem: (required) => {
      const chars = charsIn(input.value);
      if (!input.value.trim() && required) return REQUIRED;
      if (chars && chars < least) return `Enter at least ${least} characters, not ${chars}.`;
      return chars > most ? `Enter at most ${most} characters, not ${chars}.` : "";
    },
  };
}

function group(type, { options, custom_id }) {
  const boxes = options.map((option) => tick(type, custom_id, option));
  const rows = options.map((option, index) => ticked(boxes[index], option));
  const chosen = () => boxes.filter(({ checked }) => checked).map(({ value }) => value);
  return { node: element("div", { class: "ticks" }, ...rows), focus: boxes[0], grouped: true, chosen };
}

function radios(item) {
  const made = group("radio", item);
  return {
    ...made,
    value: () => made.chosen()[0] ?? null,
    problem: (required) => counted(made.chosen().length, 1, 1, required, ""),
  };
}

function boxes(item) {
  const made = group("checkbox", item);
  const { min_values: least = 1, max_values: most = item.options.length } = item;
  return {
    ...made,
    value: made.chosen,
    problem: (required) => counted(made.chosen().length, least, most, required, "boxes"),
  };
}

function box(item, { id }) {
  const input = element("input", { type: "checkbox", id, checked: item.default });
  return {
    node: element("div", { class: "ticks" }, input),
    focus: input,
    value: () => input.checked,
    problem: () => "",
  };
}

/** Files that are chosen, or dropped onto the field. */
function files(item, { id, label }) {
  const { min_values: least = 1, max_values: most = 1, file_types: kinds = [] } = item;
  const accept = kinds.map((kind) => (kind.startsWith(".") ? kind : `${kind}/*`)).join(",");
  const input = element("input", { type: "file", id, multiple: most > 1, accept: accept || null });
  const list = element("ul", { "aria-label": `Files: ${label}` });
  const hint = most > 1 ? `Drop up to ${most} files here, or ` : "Drop a file here, or ";
  const button = element("span", { class: "browse" }, "choose from your device");
  const zone = element("label", { class: "drop", for: id }, icon("file"), element("span", {}, hint, button));
  const node = element("div", { class: "upload" }, input, zone, list);
  let chosen = [];
  const show = () => {
    list.replaceChildren(
      ...chosen.map((file, index) => {
        const remove = () => {
          chosen.splice(index, 1);
          show();
          input.focus();
        };
        const name = { type: "button", "aria-label": `Remove ${file.name}`, onclick: remove };
        return element("li", {}, element("span", {}, file.name), element("button", name, icon("close")));
      }),
    );
  };
  const add = (more) => {
    chosen = most > 1 ? [...chosen, ...more] : [...more].slice(-1);
    input.value = ""; // the same file can be chosen again after it was removed
    show();
    node.dispatchEvent(new Event("input", { bubbles: true }));
  };
  input.addEventListener("change", () => input.files.length && add([...input.files]));
  for (const [name, over] of [["dragover", true], ["dragleave", false], ["drop", false]]) {
    node.addEventListener(name, (event) => {
      event.preventDefault();
      node.classList.toggle("over", over);
      if (name === "drop") add([...event.dataTransfer.files]);
    });
  }
  return {
    node,
    focus: input,
    value: () => undefined,
    files: () => chosen,
    problem: (required) =>
      counted(chosen.length, least, most, required, most > 1 || least > 1 ? "files" : "file"),
  };
}

const MAKERS = { [INPUT]: textInput, [FILES]: files, [RADIOS]: radios, [BOXES]: boxes, [BOX]: box };
