// What test_reach.py asks of the page as a whole; answers complaints.
() => {
  const complaints = [];
  const shown = (node) => node.checkVisibility({ visibilityProperty: true, opacityProperty: true });
  const tell = (node, what) => complaints.push(`${what}: ${node.outerHTML.slice(0, 120)}`);

  for (const image of document.images) if (shown(image) && !image.alt) tell(image, "no alt text");
  const nameOf = (node) =>
    node.getAttribute("aria-label") ||
    document.getElementById(node.getAttribute("aria-labelledby"))?.textContent ||
    [...(node.labels ?? [])].map((label) => label.textContent).join("") ||
    node.textContent.trim() ||
    node.querySelector("img")?.alt ||
    node.title;
  for (const control of document.querySelectorAll(
    "button, a[href], input, select, textarea, [role=option], dialog",
  )) {
    if (!nameOf(control)) tell(control, "no name");
  }
  const ids = [...document.querySelectorAll("[id]")].map((node) => node.id);
  if (new Set(ids).size !== ids.length) complaints.push("an id is used twice");
  for (const attribute of ["aria-controls", "aria-describedby", "aria-activedescendant"]) {
    for (const node of document.querySelectorAll(`[${attribute}]`)) {
      for (const id of node.getAttribute(attribute).split(" ")) {
        if (!document.getElementById(id)) tell(node, `${attribute} points nowhere`);
      }
    }
  }
  for (const control of document.querySelectorAll("button, a[href], input, select, textarea")) {
    if (!shown(control)) continue;
    const { width, height } = control.getBoundingClientRect();
    if (width && height && (width < 24 || height < 24) && !control.closest("p"))
      tell(control, "smaller than 24 px");
  }

  // Contrast of each text with the first opaque ground behind it (WCAG 2.2, 1.4.3).
  const canvas = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  const rgba = (colour) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    return canvas.getImageData(0, 0, 1, 1).data;
  };
  const luminance = ([red, green, blue]) => {
    const linear = (value) =>
      value <= 10.31475 ? value / 3294.6 : ((value / 255 + 0.055) / 1.055) ** 2.4;
    return 0.2126 * linear(red) + 0.7152 * linear(green) + 0.0722 * linear(blue);
  };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = walker.currentNode.parentElement;
    if (
      !walker.currentNode.data.trim() ||
      !shown(node) ||
      node.closest("[aria-hidden], :disabled, option")
    )
      continue;
    let ground = node;
    while (ground && rgba(getComputedStyle(ground).backgroundColor)[3] < 250)
      ground = ground.parentElement;
    const style = getComputedStyle(node);
    const [light, dark] = [
      rgba(style.color),
      rgba(getComputedStyle(ground ?? document.body).backgroundColor),
    ]
      .map(luminance)
      .sort((one, other) => other - one);
    const size = parseFloat(style.fontSize);
    const needed = size >= 24 || (size >= 18.66 && style.fontWeight >= 700) ? 3 : 4.5;
    const ratio = (light + 0.05) / (dark + 0.05);
    if (ratio < needed) tell(node, `contrast ${ratio.toFixed(2)}`);
  }

  if (document.documentElement.scrollWidth > innerWidth)
    complaints.push("the page scrolls sideways");
  for (const node of document.querySelectorAll("body *")) {
    const { left, right } = node.getBoundingClientRect();
    // What scrolls sideways by itself, and what its tile crops.
    const isMeant = node.closest(".rail, .unseen, .cards > li") || node.matches(".veiled > img");
    if (shown(node) && (left < -0.5 || right > innerWidth + 0.5) && !isMeant)
      tell(node, "out of the window");
  }
  return complaints;
};
