// Cards beside each other: there are more to be seen by scrolling sideways.
import { element, icon } from "./dom.js";

/** The node of cards, with a button at each end behind which there are more. */
export function carousel(cards) {
  const row = element("ul", { class: "cards" }, ...cards.map((card) => element("li", {}, card)));
  const turn = (name, way, cardsOn) => {
    const onclick = () => row.scrollBy({ left: cardsOn * row.firstChild.offsetWidth });
    const properties = { type: "button", class: `turn ${way}`, "aria-label": name, onclick };
    return element("button", properties, icon(way));
  };
  const earlier = turn("Earlier cards", "left", -1);
  const later = turn("Later cards", "right", 1);
  const look = () => {
    const focused = document.activeElement;
    earlier.hidden = row.scrollLeft < 1;
    later.hidden = row.scrollLeft + row.clientWidth > row.scrollWidth - 1;
    if (focused === later && later.hidden) earlier.focus();
    if (focused === earlier && earlier.hidden) later.focus();
  };
  row.addEventListener("scroll", look);
  new ResizeObserver(look).observe(row);
  return element("div", { class: "carousel" }, row, earlier, later);
}
