// What Slack's menus offer: options, people, channels.
import { element } from "./dom.js";

const words = ({ text }) => text;

/** The options of a menu, as a choice takes them. */
export function optionsOf(item, { people, channels, channel }) {
  const { type } = item;
  const chosen = [
    ...(item.initial_options ?? (item.initial_option ? [item.initial_option] : [])).map(({ value }) => value),
    ...["user", "channel", "conversation"].flatMap((of) => item[`initial_${of}s`] ?? item[`initial_${of}`] ?? []),
    ...(item.default_to_current_conversation ? [channel.id] : []),
  ];
  let offered;
  if (type.includes("users")) {
    offered = people.filter((one) => !one.is_bot).map(({ id, real_name: label }) => ({ value: id, label }));
  } else if (type.includes("channels") || type.includes("conversations")) {
    offered = channels
      .filter(({ is_im: direct, is_private: closed }) => type.includes("conversations") || !(direct || closed))
      .map(({ id, name, is_im: direct }) => ({ value: id, label: direct ? name : `#${name}` }));
  } else {
    const groups = item.option_groups?.flatMap(({ options }) => options) ?? [];
    offered = [...(item.options ?? []), ...groups].map(({ text, value, description }) => ({
      value,
      label: words(text),
      description: description && words(description),
    }));
  }
  return offered.map((option) => ({ ...option, default: chosen.includes(option.value) }));
}

/** How many of the options may be chosen, and what stands there before. */
export function pickerOf(item, options) {
  const several = item.type.startsWith("multi") || item.type === "checkboxes";
  return {
    placeholder: item.placeholder?.text ?? (item.type === "overflow" ? "…" : "Choose"),
    min_values: several ? 0 : 1,
    max_values: several ? Math.max(2, item.max_selected_items ?? options.length) : 1,
  };
}

/** What stands beside a channel in a list. */
export function markOf({ is_im: direct, is_private: closed }) {
  return direct ? "message" : closed ? "lock" : "hash";
}

/** Who somebody is, besides their name. */
export function dutyOf(person) {
  if (person.is_owner) return "owner";
  if (person.is_admin) return "admin";
  if (person.is_stranger) return "of another workspace";
  return person.is_restricted ? "guest" : "";
}

/** A person as one of a menu. */
export function personOption(person, chosen) {
  const duty = dutyOf(person);
  const text = duty ? `${person.real_name} (${duty})` : person.real_name;
  return element("option", { value: person.id, selected: chosen }, text);
}
