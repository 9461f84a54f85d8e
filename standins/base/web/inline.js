// Markup within a line, as DOM nodes: what no rule knows stays text.
const MAX_DEPTH = 8; // deeper nesting is shown as text; keeps hostile input cheap

/**
 * A function of a text, of what its rules are given with it, and of how deep it lies: nodes.
 *
 * starts  the characters with which a rule can begin
 * rules   [pattern, build], tried in this order at each place; build(groups, given, depth) answers
 *         nodes or strings
 */
export function inlineOf(starts, rules) {
  function match(text, at) {
    if (!starts.includes(text[at])) return null;
    for (const [pattern, build] of rules) {
      pattern.lastIndex = at;
      const groups = pattern.exec(text);
      if (groups) return { groups, build };
    }
    return null;
  }
  return (text, given, depth = 0) => {
    const nodes = [];
    let plain = "";
    for (let at = 0; at < text.length;) {
      const found = depth < MAX_DEPTH && match(text, at);
      if (!found) {
        plain += text[at];
        at += 1;
        continue;
      }
      if (plain) nodes.push(plain);
      plain = "";
      nodes.push(...found.build(found.groups, given, depth + 1));
      at += found.groups[0].length;
    }
    if (plain) nodes.push(plain);
    return nodes;
  };
}
