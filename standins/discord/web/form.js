// A dialog that the bot opened, as a form: one part below the other, and what is filled in.
import { element } from "./dom.js";
import { Field, box, boxes, files, menu, radios, textInput } from "./fields.js";
import { markdown } from "./markdown.js";
import { MENUS, optionsOf } from "./menus.js";

const ROW = 1;
const INPUT = 4;
const TEXT = 10;
const FILES = 19;
const RADIOS = 21;
const BOXES = 22;
const BOX = 23;

const LONG = 2; // a text input's style
const MAX_INPUT_CHARS = 4000;

const accepted = (kinds) =>
  kinds.map((kind) => (kind.startsWith(".") ? kind : `${kind}/*`)).join(",");

// How each kind is drawn, and what of Discord's component says so.
const MAKERS = {
  [INPUT]: [
    textInput,
    ({ max_length: most, min_length: least, style, ...item }) => ({
      ...item,
      type: "text",
      long: style === LONG,
      max_length: most ?? MAX_INPUT_CHARS,
      min_length: least ?? 0,
    }),
  ],
  [FILES]: [files, ({ file_types: kinds = [], ...item }) => ({ ...item, accept: accepted(kinds) })],
  [RADIOS]: [radios, (item) => item],
  [BOXES]: [boxes, (item) => item],
  [BOX]: [box, (item) => item],
};

/** The nodes of a form's parts, and the fields among them. */
export function drawn(components, world, names) {
  const fields = [];
  const nodes = components.map((part) => {
    if (part.type === TEXT) {
      return element("div", { class: "content" }, ...markdown(part.content, names));
    }
    const item = part.type === ROW ? part.components[0] : part.component;
    const [make, told] = MENUS.includes(item.type)
      ? [menu, () => ({ ...item, options: optionsOf(item, world) })]
      : MAKERS[item.type];
    const field = new Field(make, told(item), {
      name: item.custom_id,
      id: `field-${item.id}`,
      label: part.type === ROW ? item.label : part.label,
      description: part.description,
      required: (item.required ?? true) && item.type !== BOX,
    });
    fields.push(field);
    return field.node;
  });
  return { nodes, fields };
}
