// A dialog that the app opened, as a form: one block below the other, and what is filled in.
import { Field, boxes, files, menu, radios, textInput } from "./fields.js";
import { Blocks } from "./blocks.js";
import { optionsOf, pickerOf } from "./menus.js";

const MAX_INPUT_CHARS = 3000;

const TYPES = {
  plain_text_input: "text",
  number_input: "text", // as it is typed; the app is told what is wrong with it
  email_text_input: "email",
  url_text_input: "url",
  datepicker: "date",
  timepicker: "time",
};

/** How a kind is drawn, and what of Slack's element says so. */
function made(item, around, kept) {
  if (item.type === "file_input") {
    const { max_files: most = 10, filetypes: kinds = [] } = item;
    return [files, { max_values: most, accept: kinds.map((kind) => `.${kind}`).join(",") }];
  }
  if (item.type in TYPES) {
    const starts = item.initial_value ?? item.initial_date ?? item.initial_time ?? "";
    const told = {
      type: TYPES[item.type],
      long: item.multiline,
      min_length: item.min_length,
      max_length: item.type.endsWith("picker") ? undefined : (item.max_length ?? MAX_INPUT_CHARS),
      placeholder: item.placeholder?.text,
      value: kept ?? starts,
    };
    return [textInput, told];
  }
  const options = optionsOf(item, around);
  if (item.type === "radio_buttons") return [radios, { options }];
  if (item.type === "checkboxes") return [boxes, { options, min_values: 0 }];
  return [menu, { ...pickerOf(item, options), options }];
}

/**
 * The nodes of a dialog's blocks, and the fields among them.
 *
 * tools  as of `Blocks`
 * kept   what was filled in before, by the names of fields, where a dialog is shown anew
 */
export function drawn(view, tools, kept = {}) {
  const fields = [];
  const blocks = new Blocks(tools);
  const shown = blocks.draw(view.blocks, view.pictures);
  const nodes = view.blocks.map((block, place) => {
    if (block.type !== "input") return shown[place];
    const { element: item } = block;
    const [make, told] = made(item, tools.around(), kept[item.action_id]);
    const field = new Field(make, told, {
      name: item.action_id,
      id: `field-${item.action_id}`,
      label: block.label.text,
      description: block.hint?.text,
      required: !block.optional,
    });
    fields.push(field);
    return field.node;
  });
  return { nodes, fields };
}

/** What is filled in, as it is submitted: what is empty is left out, and texts are nothing. */
export function filledIn(view, values) {
  const items = view.blocks.filter(({ type }) => type === "input").map((block) => block.element);
  const told = {};
  for (const item of items) {
    const value = values[item.action_id];
    if (value === undefined) continue;
    const several = item.type.startsWith("multi") || item.type === "checkboxes";
    if (item.type in TYPES) told[item.action_id] = value || null;
    else if (several) told[item.action_id] = value;
    else {
      const one = Array.isArray(value) ? value[0] : value;
      if (one) told[item.action_id] = one;
    }
  }
  return told;
}
