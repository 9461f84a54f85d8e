// A command's options as the composer needs them, and what Discord takes as their values.
import { channelsFor } from "./menus.js";
import { nameOf } from "./dom.js";

const SUB_COMMAND = 1;
const SUB_COMMAND_GROUP = 2;
const KINDS = {
  3: "text",
  4: "whole",
  5: "yes or no",
  6: "person",
  7: "channel",
  8: "role",
  9: "person or role",
  10: "number",
  11: "file",
};

/** One entry a command or subcommand, as { name, description, options }. */
export function offered(commands, world) {
  const entries = (name, { description, options = [] }) => {
    const nested = options.filter(({ type }) => type === SUB_COMMAND || type === SUB_COMMAND_GROUP);
    if (nested.length) return nested.flatMap((inner) => entries(`${name} ${inner.name}`, inner));
    const known = options
      .filter(({ type }) => type in KINDS)
      .map((option) => readOption(option, world));
    return [{ name, description, options: known }];
  };
  return commands
    .filter(({ type = 1 }) => type === 1)
    .flatMap((command) => entries(command.name, command));
}

function readOption(option, world) {
  const kind = KINDS[option.type];
  const people = world.people.map((person) => ({ name: nameOf(person), value: person.id }));
  const roles = world.roles.map((role) => ({ name: role.name, value: role.id }));
  const channels = channelsFor(option, world);
  const choices = {
    "yes or no": [
      { name: "True", value: true },
      { name: "False", value: false },
    ],
    person: people,
    channel: channels.map((channel) => ({ name: channel.name, value: channel.id })),
    role: roles,
    "person or role": [...people, ...roles],
  };
  return {
    name: option.name,
    description: option.description,
    kind,
    required: Boolean(option.required),
    choices: choices[kind] ?? (option.choices?.length ? option.choices : undefined),
    completes: Boolean(option.autocomplete),
    min: option.min_value,
    max: option.max_value,
    minLength: option.min_length,
    maxLength: option.max_length,
  };
}

/** { value } of what was typed, {} for an optional option left empty, or { problem } as a sentence. */
export function check(option, typed) {
  const { name, choices, kind } = option;
  const text = typed.trim();
  if (!text)
    return option.required ? { problem: `“${name}” is empty. Fill it in: ${ended(option.description)}` } : {};
  if (kind === "file") return {}; // its value is the file itself
  if (choices) {
    const chosen = choices.find((choice) => choice.name.toLowerCase() === text.toLowerCase());
    if (chosen) return { value: chosen.value };
    return {
      problem: `“${name}” must be one of ${choices.map((choice) => choice.name).join(", ")}.`,
    };
  }
  return kind === "text" ? checkText(option, text) : checkNumber(option, text);
}

/**
 * The texts of the options in what follows a command's name. "a cat seed:7" gives the first option
 * and the seed: so a whole command can be pasted, such as the bot hands back when it stops.
 */
export function named(options, text) {
  if (!options.length) return {};
  const names = options.map(({ name }) => name).join("|");
  const marks = [...text.matchAll(new RegExp(`(?:^|\\s)(${names}):`, "gu"))];
  const pieces = marks.map((mark, at) => [
    mark[1],
    text.slice(mark.index + mark[0].length, marks[at + 1]?.index),
  ]);
  const head = [options[0].name, text.slice(0, marks[0]?.index)];
  const filled = [head, ...pieces].map(([name, value]) => [name, value.trim()]);
  return Object.fromEntries(filled.filter(([, value]) => value));
}

function checkText({ name, minLength = 0, maxLength = 6000 }, text) {
  const length = [...text].length;
  if (length > maxLength) {
    return {
      problem: `“${name}” is ${count(length)} characters long; the limit is ${count(maxLength)}. Shorten it.`,
    };
  }
  if (length < minLength)
    return { problem: `“${name}” must be at least ${count(minLength)} characters long.` };
  return { value: text };
}

function checkNumber({ name, kind, min, max }, text) {
  const whole = kind === "whole";
  const value = (whole ? /^[+-]?\d+$/ : /^[+-]?(\d+\.?\d*|\.\d+)$/).test(text) ? Number(text) : NaN;
  if (Number.isNaN(value)) {
    const range = min !== undefined && max !== undefined ? ` from ${min} to ${max}` : "";
    return {
      problem: `“${name}” must be a ${whole ? "whole number" : "number"}${range}, not “${text.slice(0, 40)}”.`,
    };
  }
  const low = min ?? -Number.MAX_SAFE_INTEGER;
  const high = max ?? Number.MAX_SAFE_INTEGER;
  if (value >= low && value <= high) return { value };
  if (min !== undefined && max !== undefined)
    return { problem: `“${name}” must lie between ${min} and ${max}, not ${text}.` };
  return {
    problem:
      value < low
        ? `“${name}” must be at least ${low}, not ${text}.`
        : `“${name}” must be at most ${high}, not ${text}.`,
  };
}

const count = (number) => number.toLocaleString("en-GB");
const ended = (sentence) => (/[.!?]$/.test(sentence) ? sentence : `${sentence}.`);
