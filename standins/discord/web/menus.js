// What Discord's menus offer: options, people, roles or channels.
import { nameOf } from "./dom.js";

const STRING = 3;
const USER = 5;
const ROLE = 6;
const MENTIONABLE = 7;
const CHANNEL = 8;

export const MENUS = [STRING, USER, ROLE, MENTIONABLE, CHANNEL];

/** The channels of the server that may be chosen: direct messages are nobody's choice. */
export function channelsFor({ channel_types }, world) {
  return world.channels.filter(
    ({ guild_id, type }) => guild_id && (!channel_types?.length || channel_types.includes(type)),
  );
}

/** The options of a menu, as a choice takes them. */
export function optionsOf({ type, options = [], default_values = [], ...item }, world) {
  if (type === STRING) {
    return options.map(({ emoji, ...option }) => ({
      ...option,
      label: [emoji?.name, option.label].filter(Boolean).join(" "),
    }));
  }
  const people = world.people.map((person) => ({ label: nameOf(person), value: person.id }));
  const roles = world.roles.map(({ id, name }) => ({ label: name, value: id }));
  const channels = channelsFor(item, world).map(({ id, name }) => ({ label: `#${name}`, value: id }));
  const offered = {
    [USER]: people,
    [ROLE]: roles,
    [MENTIONABLE]: [...people, ...roles],
    [CHANNEL]: channels,
  }[type];
  const chosen = default_values.map(({ id }) => id);
  return offered.map((option) => ({ ...option, default: chosen.includes(option.value) }));
}
