// Boxes by two clicks on the photo, their corners. The text below it holds them: what is written
// there is drawn, whoever wrote it.
(() => {
  const SVG = "http://www.w3.org/2000/svg";
  let begun = null;  // the first corner, in pixels of the photo, and which photo

  const field = () => document.querySelector("#rar-boxes textarea");
  const photo = () => document.querySelector("#rar-photo .image-frame img");
  const say = text => { const live = document.querySelector(".rar-status"); if (live) live.textContent = text; };

  // Where the photo is within its element, which may be larger, and pixels of the screen a pixel.
  const place = img => {
    const box = img.getBoundingClientRect();
    const scale = Math.min(box.width / img.naturalWidth, box.height / img.naturalHeight,
      getComputedStyle(img).objectFit === "scale-down" ? 1 : Infinity);
    const width = img.naturalWidth * scale, height = img.naturalHeight * scale;
    return { scale, width, height, left: box.left + (box.width - width) / 2, top: box.top + (box.height - height) / 2 };
  };

  const point = (img, event) => {
    const at = place(img), within = (x, most) => Math.min(Math.max(Math.round(x), 0), most);
    return [within((event.clientX - at.left) / at.scale, img.naturalWidth),
      within((event.clientY - at.top) / at.scale, img.naturalHeight)];
  };

  const between = ([a, b], [c, d]) => [Math.min(a, c), Math.min(b, d), Math.abs(a - c), Math.abs(b - d)];

  // As ui/boxes.py reads them; what it would refuse is not drawn.
  const written = text => {
    let rows;
    if (/^\s*[[{]/.test(text)) {
      try { rows = JSON.parse(text); } catch { return []; }
      rows = Array.isArray(rows) ? rows.map(row => row?.bbox ?? row?.box ?? row) : [];
    } else rows = text.split("\n").map(line => line.split(/[,;\s]+/).filter(Boolean).map(Number));
    return rows.filter(row => Array.isArray(row) && row.length === 4 && row.every(Number.isFinite));
  };

  const element = (kind, attributes, text = "") => {
    const made = document.createElementNS(SVG, kind);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    made.textContent = text;
    return made;
  };

  const draw = corner => {
    const img = photo(), text = field()?.value ?? "";
    if (begun?.src !== img?.src) begun = null;
    if (!img?.naturalWidth) return;
    const frame = img.parentElement, at = place(img), around = frame.getBoundingClientRect();
    let layer = frame.querySelector(".rar-layer");
    if (!layer) frame.append(layer = element("svg", { class: "rar-layer", "aria-hidden": "true" }));
    const boxes = written(text);
    if (begun) boxes.push(between(begun.corner, corner ?? begun.corner));
    const state = JSON.stringify([boxes, at, around.left, around.top]);
    if (layer.dataset.state === state) return;
    layer.dataset.state = state;
    Object.assign(layer.style, {
      left: `${at.left - around.left}px`, top: `${at.top - around.top}px`,
      width: `${at.width}px`, height: `${at.height}px`,
    });
    layer.replaceChildren(...boxes.flatMap(([x, y, width, height], number) => {
      const [left, top, w, h] = [x, y, width, height].map(length => length * at.scale);
      const side = { x: left, y: top, width: Math.max(w, 1), height: Math.max(h, 1) };
      return [element("rect", { ...side, class: "rar-under" }), element("rect", side),
        element("text", { x: left + 5, y: top + 16 }, number + 1)];
    }));
  };

  const write = text => {
    const area = field();
    Object.getOwnPropertyDescriptor(HTMLTextAreaElement.prototype, "value").set.call(area, text);
    area.dispatchEvent(new Event("input", { bubbles: true }));
  };

  const click = event => {
    const img = photo();
    if (!img?.naturalWidth || !img.parentElement.contains(event.target)) return;
    const corner = point(img, event);
    if (begun?.src !== img.src) {
      begun = { corner, src: img.src };
      say("The first corner is set. Click the opposite one; Escape takes it back.");
    } else {
      const box = between(begun.corner, corner), text = field().value.trimEnd();
      if (!box[2] || !box[3]) return;  // the same corner again
      begun = null;
      write(/^\s*\[/.test(text)
        ? text.replace(/,?\s*\]\s*$/, `, [${box.join(", ")}]]`).replace(/^\s*\[\s*,\s*/, "[")
        : `${text}${text && "\n"}${box.join(", ")}`);
      say(`A box is added: ${box.join(", ")}.`);
    }
    draw(corner);
  };

  addEventListener("click", click);
  addEventListener("pointermove", event => { if (begun && photo()) draw(point(photo(), event)); });
  addEventListener("keydown", event => { if (event.key === "Escape" && begun) { begun = null; draw(); } });
  addEventListener("resize", () => draw());
  // The photo comes, goes, grows with its tab; the text may be written by Gradio itself.
  setInterval(() => { if (!begun || begun.src !== photo()?.src) draw(); }, 200);
})();
