// What is around the messages: the list of places at the side, the chats above, the keyboard.
import { element } from "./dom.js";

const part = (id) => document.getElementById(id);

/** Show the list of places or put it away; only where the page is narrow is it ever away. */
export function openRail(open) {
  part("rail").classList.toggle("shown", open);
  part("show-rail").setAttribute("aria-expanded", String(open));
  if (open) part("channels").querySelector("[aria-current]")?.focus();
}

/** The chats of the playground beside each other: { name, url, is_here }. */
export function showChats(chats) {
  part("chats").replaceChildren(
    ...chats.map(({ name, url, is_here: here }) =>
      element("a", { href: url, "aria-current": here ? "page" : null }, name),
    ),
  );
}

part("show-rail").addEventListener("click", () => openRail(true));
part("scrim").addEventListener("click", () => openRail(false));
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape" || !part("rail").classList.contains("shown")) return;
  openRail(false);
  part("show-rail").focus();
});

/** Whoever types while nothing has the focus means the composer. */
export function typingAnywhere(composer) {
  document.addEventListener("keydown", (event) => {
    const idle = [document.body, part("scroll")].includes(document.activeElement);
    const character =
      event.key.length === 1 &&
      event.key !== " " &&
      !event.ctrlKey &&
      !event.metaKey &&
      !event.altKey;
    if (idle && character && !document.querySelector("dialog[open]")) composer.focus();
  });
  // Ready to type and to paste; but on a phone the focus would bring up the keyboard unasked.
  if (matchMedia("(hover: hover)").matches) composer.focus();
}
