"use strict";
// The sample browser. Everything from the run is text: it goes into textContent, never into HTML.
(async () => {
  const ROW = 56, SPARE = 6;
  const [CORRECTION, REGRESSION, DEGRADED, REPAIRED, MISSED] = [1, 2, 4, 8, 16];
  const RIGHT = 1, WRONG = 2, ABSTAINED = 4;
  const by = (id) => document.getElementById(id);
  const status = by("found");

  if (!("DecompressionStream" in window)) {
    status.textContent = "This browser cannot unpack the samples: use one from 2023 or later.";
    return;
  }
  async function unpack(id) {
    const bytes = Uint8Array.from(atob(by(id).textContent), (letter) => letter.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    return new Response(stream).json();
  }
  const index = await unpack("index");
  const jpegs = JSON.parse(by("jpegs").textContent);
  const blocks = new Map();

  async function recordAt(position) {
    const block = Math.floor(position / index.block);
    if (!blocks.has(block)) blocks.set(block, unpack(`block-${block}`));
    return (await blocks.get(block))[position % index.block];
  }

  // Elements
  function make(tag, attributes = {}, ...children) {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (value !== undefined && value !== false) element.setAttribute(name, value);
    }
    element.append(...children);
    return element;
  }
  function image(key, alt, size) {
    const position = index.pictures[key];
    if (position === undefined) return make("span", { class: "no-picture" }, alt ? "no thumbnail" : "");
    return make("img", { src: `data:image/jpeg;base64,${jpegs[position]}`, alt, width: size, height: size });
  }
  const counted = (count, noun) => `${count} ${noun}${count === 1 ? "" : "s"}`;
  const percent = (share) => `${(100 * share).toFixed(1)} %`;

  // Filters
  const cell = by("cell"), way = by("way"), outcome = by("outcome"), only = by("only"), words = by("words");
  index.cells.forEach((name, i) => cell.append(make("option", { value: i }, name)));
  index.ways.forEach((name) => way.append(make("option", { value: name, selected: name === index.main }, index.titles[name])));
  const TESTS = {
    corrections: (i) => index.flags[i] & CORRECTION,
    regressions: (i) => index.flags[i] & REGRESSION,
    abstained: (i) => index.state[way.value][i] & ABSTAINED,
    degraded: (i) => index.flags[i] & DEGRADED,
    repaired: (i) => index.flags[i] & REPAIRED,
    missed: (i) => index.flags[i] & MISSED,
    pictured: (i) => index.pictures[index.sample[i]] !== undefined,
  };
  const LABELS = Object.fromEntries([...only.options].map((option) => [option.value, option.text]));

  function pairOf(i) {
    const first = index.first[way.value][i];
    return `${index.names[index.truth[i]]} → ${first < 0 ? "no answer" : index.names[first]}`;
  }
  let shown = [], chosen = -1;
  function filter() {
    const sought = words.value.trim().toLowerCase(), state = index.state[way.value];
    const counts = Object.fromEntries(Object.keys(TESTS).map((name) => [name, 0]));
    const wrong = [], rest = [];
    for (let i = 0; i < index.sample.length; i++) {
      if (cell.value !== "" && index.cell[i] !== Number(cell.value)) continue;
      if (outcome.value === "right" && !(state[i] & RIGHT)) continue;
      if (outcome.value === "wrong" && !(state[i] & WRONG)) continue;
      if (sought && !`${index.sample[i]} ${pairOf(i)}`.toLowerCase().includes(sought)) continue;
      for (const name in TESTS) if (TESTS[name](i)) counts[name]++;
      if (only.value && !TESTS[only.value](i)) continue;
      (state[i] & WRONG ? wrong : rest).push(i);
    }
    for (const option of only.options) {
      if (option.value) option.text = `${LABELS[option.value]} (${counts[option.value].toLocaleString("en")})`;
    }
    shown = wrong.concat(rest);
    status.textContent = `${shown.length.toLocaleString("en")} of ${index.sample.length.toLocaleString("en")} ` +
      `answers, ${wrong.length.toLocaleString("en")} of them wrong; errors first`;
    room.style.height = `${shown.length * ROW}px`;
    list.scrollTop = 0;
    choose(shown.length ? 0 : -1);
  }

  // The list: only rows in sight exist
  const list = by("list"), room = by("room"), detail = by("detail");
  function row(at) {
    const i = shown[at], state = index.state[way.value][i], sure = index.sure[way.value][i];
    const verdict = state & RIGHT ? "right" : state & WRONG ? "wrong" : "no answer";
    const said = [verdict];
    if (sure >= 0) said.push(percent(sure / 1000));
    if (state & ABSTAINED) said.push("abstained");
    if (index.flags[i] & REGRESSION) said.push("regression");
    if (index.flags[i] & CORRECTION) said.push("correction");
    const line = make("div", {
      role: "option", id: `row-${at}`, class: `row ${verdict.replace(" ", "-")}`, "aria-selected": String(at === chosen),
      "aria-setsize": shown.length, "aria-posinset": at + 1,
    }, image(index.sample[i], "", 44), make("span", { class: "row-text" },
      make("b", {}, pairOf(i)), make("span", { class: "quiet" }, `${said.join(", ")} · ${index.cells[index.cell[i]]} · ${index.sample[i]}`)));
    line.style.top = `${at * ROW}px`;
    line.addEventListener("click", () => { choose(at); });
    return line;
  }
  function paint() {
    const from = Math.max(0, Math.floor(list.scrollTop / ROW) - SPARE);
    const to = Math.min(shown.length, Math.ceil((list.scrollTop + list.clientHeight) / ROW) + SPARE);
    const rows = [];
    for (let at = from; at < to; at++) rows.push(row(at));
    room.replaceChildren(...rows);
    if (chosen >= from && chosen < to) list.setAttribute("aria-activedescendant", `row-${chosen}`);
    else list.removeAttribute("aria-activedescendant");
  }
  function choose(at) {
    chosen = at;
    if (at >= 0) {
      const top = at * ROW;
      if (top < list.scrollTop) list.scrollTop = top;
      else if (top + ROW > list.scrollTop + list.clientHeight) list.scrollTop = top + ROW - list.clientHeight;
    }
    paint();
    tell(at < 0 ? -1 : shown[at]);
  }
  list.addEventListener("scroll", () => requestAnimationFrame(paint), { passive: true });
  window.addEventListener("resize", paint);
  list.addEventListener("keydown", (event) => {
    const page = Math.max(1, Math.floor(list.clientHeight / ROW) - 1);
    const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -Infinity, End: Infinity };
    if (!(event.key in steps) || !shown.length) return;
    event.preventDefault();
    choose(Math.min(shown.length - 1, Math.max(0, chosen + steps[event.key])));
  });

  // One sample
  function answers(record, truth) {
    const given = index.ways.filter((name) => record[name]);
    const names = [...new Set(given.flatMap((name) => record[name].names))];
    const order = record.ranking?.order ?? [];
    const head = make("tr", {}, make("th", { scope: "col" }, "category"),
      ...given.map((name) => make("th", { scope: "col" }, index.titles[name])), ...(order.length ? [make("th", { scope: "col" }, "model's place")] : []));
    const rows = names.map((name) => make("tr", { class: name === truth ? "truth" : undefined },
      make("th", { scope: "row" }, name, name === truth ? " (true)" : ""),
      ...given.map((one) => {
        const place = record[one].names.indexOf(name), sure = record[one].probabilities?.[place];
        return make("td", {}, place < 0 ? "–" : `${place + 1}.${sure === undefined ? "" : ` ${percent(sure)}`}`);
      }),
      ...(order.length ? [make("td", {}, order.includes(name) ? `${order.indexOf(name) + 1}.` : "–")] : [])));
    return make("div", { class: "wide", tabindex: 0, role: "group", "aria-label": "candidates" }, make("table", {},
      make("caption", {}, "Candidates: place and probability, before ranking and after"), make("thead", {}, head), make("tbody", {}, ...rows)));
  }
  function asked(title, ranked) {
    if (!ranked) return [];
    const usage = ranked.usage ?? {}, calls = ranked.calls ?? 0;
    const lines = [
      ["model", ranked.model], ["ranker", ranked.ranker],
      ["prompt", ranked.prompt && `${ranked.prompt}, ${ranked.prompt_hash ?? "no hash"}`],
      ["answer read", ranked.parse_status === undefined ? "not asked" : ranked.parse_status + (ranked.repairs ? `, ${counted(ranked.repairs, "repair")}` : "")],
      ["degraded", ranked.degraded && "yes: retrieval's order stood"], ["why", ranked.reason],
      ["took", calls && `${counted(calls, "call")}, ${usage.input_tokens ?? 0}+${usage.output_tokens ?? 0} tokens` +
        (usage.cost === null ? ", cost unknown" : usage.cost ? `, $${usage.cost.toFixed(6)}` : "")],
    ];
    const raw = ranked.raw ? [make("h5", {}, "Raw answer"), make("pre", { tabindex: 0 }, ranked.raw)] : [];
    return [make("h4", {}, title), facts(lines), ...raw];
  }
  function facts(lines) {
    return make("dl", {}, ...lines.filter((line) => line[1]).flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, String(value))]));
  }
  let turn = 0;
  async function tell(i) {
    const mine = ++turn;
    if (i < 0) { detail.replaceChildren(make("p", {}, "Nothing is like that.")); return; }
    const record = await recordAt(i);
    if (mine !== turn) return;
    const truth = index.names[index.truth[i]], flags = index.flags[i], state = index.state[way.value][i];
    const marks = [[CORRECTION, "ranking corrected retrieval"], [REGRESSION, "ranking undid a right answer"], [DEGRADED, "degraded"],
      [REPAIRED, "answer repaired"], [MISSED, "the true category was not retrieved"]].filter(([bit]) => flags & bit).map(([, said]) => said);
    const first = index.first[way.value][i], sure = index.sure[way.value][i];
    const decision = !truth && first >= 0 ? "neither right nor wrong" : !(state & (RIGHT | WRONG)) ? "no answer" : (state & ABSTAINED ? "abstained; its best guess is " : "accepted, and is ") + (state & RIGHT ? "right" : "wrong");
    const said = first < 0 ? "" : `: ${index.names[first]}${sure < 0 ? "" : `, ${percent(sure / 1000)}`}`;
    const seen = (record.seen ?? []).map((one) => make("figure", { class: "known" }, image(one.source, `exemplar of ${one.name}`, 96),
      make("figcaption", {}, one.name, make("br"), `similarity ${one.similarity.toFixed(2)}`)));
    detail.replaceChildren(
      make("h3", {}, record.sample),
      make("p", { class: `verdict ${state & RIGHT ? "good" : state & WRONG ? "bad" : ""}` }, `${index.titles[way.value]}, ${decision}${said}`),
      make("div", { class: "figures" }, make("figure", {}, image(record.sample, `test image ${record.sample}`, 128), make("figcaption", {}, truth ? `true: ${truth}` : "around nothing that has a category"))),
      ...(seen.length ? [make("h4", {}, "Nearest exemplars"), make("div", { class: "figures" }, ...seen)] : []),
      answers(record, truth),
      facts([["cell", index.cells[index.cell[i]]], ["noticed", marks.join("; ")],
        ["familiarity", record.familiarity === undefined ? "" : percent(record.familiarity)], ["sha256", record.sha256]]),
      ...asked("Ranking", record.ranking), ...asked("The model alone", record.asked_alone),
      ...(record.timings_ms ? [make("h4", {}, "Time, ms"), facts(Object.entries(record.timings_ms))] : []));
  }

  // Confusion pairs lead here
  for (const button of document.querySelectorAll("button[data-pair]")) {
    button.addEventListener("click", () => {
      by("filters").reset();
      words.value = button.dataset.pair;
      filter();
      by("samples").scrollIntoView();
      list.focus({ preventScroll: true });
    });
  }
  by("filters").addEventListener("input", filter);
  by("filters").addEventListener("submit", (event) => event.preventDefault());
  by("filters").addEventListener("reset", () => setTimeout(filter));
  filter();
  document.documentElement.dataset.ready = Math.round(performance.now());
})();
