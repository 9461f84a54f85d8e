// Scrolling through messages: the end stays in sight unless somebody reads further up.
const NEAR_END_PX = 80;

export class Scroller {
  #scroll;
  #newer;
  #sticking = true;

  /**
   * scroll  what scrolls
   * list    what is in it, and grows
   * newer   the button that leads to the end
   */
  constructor(scroll, list, newer) {
    this.#scroll = scroll;
    this.#newer = newer;
    scroll.addEventListener("scroll", () => {
      const left = scroll.scrollHeight - scroll.scrollTop - scroll.clientHeight;
      this.#sticking = left < NEAR_END_PX;
      if (this.#sticking) newer.hidden = true;
    });
    const resized = new ResizeObserver(() => this.#sticking && this.toEnd());
    resized.observe(scroll);
    resized.observe(list);
    newer.addEventListener("click", () => this.toEnd());
  }

  /** Whether the end is in sight; asked before something comes, and given to `follow` after it. */
  get isSticking() {
    return this.#sticking;
  }

  toEnd() {
    this.#scroll.scrollTop = this.#scroll.scrollHeight;
    this.#sticking = true;
    this.#newer.hidden = true;
  }

  follow(sticky) {
    if (sticky) this.toEnd();
    else this.#newer.hidden = false;
  }
}
