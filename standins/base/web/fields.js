// The fields of a dialog, each with its label, and what is filled in.
import { Choice, tick, ticked } from "./choice.js";
import { element, icon } from "./dom.js";

const REQUIRED = "This field is required.";

const charsIn = (text) => [...text].length;

/** One field with its label. `value` is what is submitted, `files` of files. */
export class Field {
  #required;
  #say = element("p", { class: "problem", role: "alert" });
  #control; // { node, focus, value, problem(), files }

  /**
   * make  draws what is filled in, as the functions below do
   * item  what it is told: as `make` says
   * name  under which it is submitted
   * id    of the field, and no other
   */
  constructor(make, item, { name, id, label, description, required }) {
    this.name = name;
    this.#required = required;
    this.#control = make(item, { id, label });
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
    this.node.addEventListener("input", () => this.tell(""));
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

  /** Say what is wrong with it; "" takes that away. */
  tell(sentence) {
    this.#say.textContent = sentence;
    this.node.classList.toggle("wrong", Boolean(sentence));
    if (sentence) this.#control.focus.setAttribute("aria-invalid", "true");
    else this.#control.focus.removeAttribute("aria-invalid");
  }

  /** Whether it may be submitted; if not, it says why. */
  check() {
    const problem = this.#control.problem(this.#required);
    this.tell(problem);
    return !problem;
  }
}

/** The sentence about how many are chosen of a list, "" where that is fine. */
function counted(chosen, least, most, required, what) {
  if (!chosen) return required ? REQUIRED : "";
  if (chosen < least) return `Choose at least ${least} ${what}.`;
  return chosen > most ? `Choose at most ${most} ${what}.` : "";
}

/** item  as of a `Choice`, with its `options` */
export function menu(item, { id, label }) {
  const choice = new Choice(item, item.options, label);
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

/** item  { max_length (else nothing is counted), min_length, long, placeholder, value, type } */
export function textInput(item, { id }) {
  const { max_length: most = Infinity, min_length: least = 0, long = false, type = "text" } = item;
  const properties = { id, placeholder: item.placeholder, autocomplete: "off" };
  const input = long
    ? element("textarea", { ...properties, rows: 3 })
    : element("input", { ...properties, type });
  input.value = item.value ?? "";
  const counter = element("small", { class: "counter", "aria-hidden": "true" });
  const count = () => {
    const chars = charsIn(input.value);
    counter.textContent = most < Infinity ? `${chars} / ${most}` : "";
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

function group(type, { options }, { id }) {
  const boxes = options.map((option) => tick(type, id, option));
  const rows = options.map((option, index) => ticked(boxes[index], option));
  const chosen = () => boxes.filter(({ checked }) => checked).map(({ value }) => value);
  return { node: element("div", { class: "ticks" }, ...rows), focus: boxes[0], grouped: true, chosen };
}

/** item  { options } */
export function radios(item, field) {
  const made = group("radio", item, field);
  return {
    ...made,
    value: () => made.chosen()[0] ?? null,
    problem: (required) => counted(made.chosen().length, 1, 1, required, ""),
  };
}

/** item  { options, min_values, max_values } */
export function boxes(item, field) {
  const made = group("checkbox", item, field);
  const { min_values: least = 1, max_values: most = item.options.length } = item;
  return {
    ...made,
    value: made.chosen,
    problem: (required) => counted(made.chosen().length, least, most, required, "boxes"),
  };
}

/** item  { default } */
export function box(item, { id }) {
  const input = element("input", { type: "checkbox", id, checked: item.default });
  return {
    node: element("div", { class: "ticks" }, input),
    focus: input,
    value: () => input.checked,
    problem: () => "",
  };
}

/** Files that are chosen, or dropped onto the field; item  { min_values, max_values, accept } */
export function files(item, { id, label }) {
  const { min_values: least = 1, max_values: most = 1, accept } = item;
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
