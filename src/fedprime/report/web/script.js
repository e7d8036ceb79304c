"use strict";
// Everything that comes from runs reaches the page as text (textContent, setAttribute), never as markup.
const data = JSON.parse(document.getElementById("data").textContent);
const svgSpace = document.getElementById("blank").namespaceURI;
const tip = document.getElementById("tip");
const hidden = Object.fromEntries([...Object.keys(data.axes), "\0scenario"].map((name) => [name, new Set()]));
const shown = new Set(["accuracy", "own_accuracy" in data.scores ? "own_accuracy" : "bayes_accuracy"]);
const others = Object.keys(data.axes).filter((axis) => axis !== data.compared);
const KEPT = `fedprime ${location.pathname}`;
const kept = data.live ? JSON.parse(sessionStorage.getItem(KEPT) || "{}") : {}; // a live page is read again and again
const picked = kept.picked || {}; // by name of a choice, what is chosen
const sorted = {}; // by table, [column, direction]
const DASHES = ["5 4", "1.5 3", "8 3 2 3", "12 4", "12 3 2 3 2 3", "2 7"];

function put(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes || {})) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "color") node.style.setProperty("--c", data.colors[value] || "#777777");
    else if (value !== null && value !== undefined && value !== false) node.setAttribute(name, value);
  }
  node.append(...children.flat(9).filter((child) => child !== null && child !== undefined));
  return node;
}
const el = (tag, attributes, ...children) => put(document.createElement(tag), attributes, children);
const draw = (tag, attributes, ...children) => put(document.createElementNS(svgSpace, tag), attributes, children);
const unique = (items) => [...new Set(items)];
const words = (labels) => others.map((axis) => `${axis} ${labels[axis]}`).join(", ");
const number = (value, digits = 1) => (typeof value === "number" ? value.toFixed(digits) : value ?? "");
const signed = (value) => (value > 0 ? "+" : "") + number(value, 2);
const amount = (value) => (typeof value === "number" ? value.toLocaleString("en", { maximumSignificantDigits: 4 }) : value ?? "");
const label = (cell) => cell.labels[data.compared];
const isShown = (labels) => Object.entries(labels).every(([axis, value]) => !hidden[axis] || !hidden[axis].has(value));
const cells = () => data.cells.filter((cell) => isShown(cell.labels));
const scenarios = () => data.scenarios.filter((name) => !hidden["\0scenario"].has(name));
const scoreNames = () => Object.keys(data.scores).filter((score) => shown.has(score));
const swatch = (name) => el("span", { class: "swatch", color: name });

function blocks(items = cells()) {
  const found = new Map();
  for (const cell of items) {
    const key = JSON.stringify(others.map((axis) => cell.labels[axis]));
    if (!found.has(key)) found.set(key, []);
    found.get(key).push(cell);
  }
  return [...found.values()];
}

/* Choices and filters */

function choice(name, title, options) {
  if (!options.some(([value]) => value === picked[name])) picked[name] = options.length ? options[0][0] : undefined;
  if (options.length < 2) return null;
  const select = el("select", { onchange: () => { picked[name] = options[select.selectedIndex][0]; render(); } },
    options.map(([value, text]) => el("option", { selected: value === picked[name] ? "" : null }, text)));
  return el("label", {}, `${title} `, select);
}

function menu(title, values, isOn, toggle) {
  const boxes = values.map(([value, text]) => {
    const box = el("input", { type: "checkbox", onchange: () => { toggle(value, box.checked); refresh(); } });
    return [value, box, el("label", {}, box, " ", text)];
  });
  const summary = el("summary", {});
  const refresh = () => {
    for (const [value, box] of boxes) box.checked = isOn(value);
    const on = boxes.filter(([, box]) => box.checked).length;
    summary.textContent = on === boxes.length ? `${title}: all` : `${title}: ${on} of ${boxes.length}`;
    render();
  };
  const all = (on) => () => { for (const [value] of boxes) toggle(value, on); refresh(); };
  const buttons = el("div", { class: "controls" }, el("button", { type: "button", onclick: all(true) }, "all"),
    el("button", { type: "button", onclick: all(false) }, "none"));
  const details = el("details", {}, summary, el("div", { class: "menu" }, buttons, boxes.map(([, , row]) => row)));
  details.addEventListener("toggle", () => {
    if (details.open) for (const other of document.querySelectorAll("#filters details")) if (other !== details) other.open = false;
  });
  refresh();
  return details;
}

function filters() {
  const nav = document.getElementById("filters");
  const byAxis = (axis, values, title) => menu(title, values.map((value) => [value, value]),
    (value) => !hidden[axis].has(value), (value, on) => (on ? hidden[axis].delete(value) : hidden[axis].add(value)));
  for (const [axis, values] of Object.entries(data.axes)) if (values.length > 1) nav.append(byAxis(axis, values, axis));
  if (data.scenarios.length > 1) nav.append(byAxis("\0scenario", data.scenarios, "test scenario"));
  const scores = Object.entries(data.scores);
  if (scores.length > 1) nav.append(menu("columns", scores, (value) => shown.has(value),
    (value, on) => (on ? shown.add(value) : shown.delete(value))));
  if (!nav.childElementCount) nav.remove();
}

/* Tables that sort themselves */

function table(name, columns, rows) {
  const [key, direction] = sorted[name] || [null, 1];
  const by = columns.find((column) => column.key === key);
  const order = (one, other) => {
    const [a, b] = [by.value(one), by.value(other)];
    if (a === b) return 0;
    if (a === null || a === undefined || a === "") return 1;
    if (b === null || b === undefined || b === "") return -1;
    const both = typeof a === "number" && typeof b === "number";
    return direction * (both ? a - b : String(a).localeCompare(String(b), "en", { numeric: true }));
  };
  const inOrder = by ? [...rows].sort(order) : rows;
  const head = (column) => {
    const state = column.key === key ? (direction > 0 ? "ascending" : "descending") : null;
    // Numbers begin with the largest; a third press gives the first order back.
    const start = column.left ? 1 : -1;
    const press = () => {
      sorted[name] = column.key !== key ? [column.key, start] : direction === start ? [key, -start] : undefined;
      if (!sorted[name]) delete sorted[name];
      render();
    };
    return el("th", { class: column.left ? "left" : null, "aria-sort": state, scope: "col" },
      column.over ? el("small", {}, column.over) : null, el("button", { type: "button", onclick: press }, column.head));
  };
  const place = (column, row) => el("td", { class: [column.left ? "left" : "", column.left && String(column.value(row) ?? "").length > 44 ? "long" : "", column.best && column.best(row) ? "best" : ""].join(" ").trim() || null },
    (column.show || column.value)(row) ?? "");
  return el("div", { class: "wide", tabindex: 0, "data-keep": name }, el("table", {}, el("thead", {}, el("tr", {}, columns.map(head))),
    el("tbody", {}, inOrder.map((row) => el("tr", {}, columns.map((column) => place(column, row)))))));
}

const labelColumns = () => [...others, data.compared].map((axis) => ({
  key: `label ${axis}`, head: axis, left: true, value: (row) => row.labels[axis],
  show: (row) => (axis === data.compared ? [swatch(row.labels[axis]), row.labels[axis]] : row.labels[axis]),
}));
const scoreColumns = (value, show, best) => scenarios().flatMap((scenario) => scoreNames().map((score) => ({
  key: `${scenario} ${score}`, over: scenario, head: `${data.scores[score]} %`, value: (row) => value(row, scenario, score),
  show: show && ((row) => show(row, scenario, score)), best: best && ((row) => best(row, scenario, score)),
})));

function results() {
  const winners = new Set(data.comparisons.filter((pair) => pair.best).map((pair) => JSON.stringify([pair.score, pair.scenario, words(pair.labels), pair.best])));
  const found = (cell, scenario, score) => (cell.scores[scenario] || {})[score];
  const show = (cell, scenario, score) => {
    const value = found(cell, scenario, score);
    return !value ? "–" : value[1] === null ? number(value[0]) : [number(value[0]), el("small", {}, ` ± ${number(value[1])}`)];
  };
  const best = (cell, scenario, score) => winners.has(JSON.stringify([score, scenario, words(cell.labels), label(cell)]));
  const costs = unique(data.cells.flatMap((cell) => Object.keys(cell.costs || {}))).map((cost) => ({
    key: `cost ${cost}`, head: cost, value: (cell) => cell.costs[cost], show: (cell) => amount(cell.costs[cost]),
  }));
  const columns = [...labelColumns(), ...scoreColumns((...what) => (found(...what) || [null])[0], show, best), ...costs];
  return [el("p", { class: "dim" }, data.caption), table("results", columns, cells())];
}

function runsTable() {
  const columns = [...labelColumns(), { key: "seed", head: "seed", value: (run) => run.seed },
    ...scoreColumns((run, scenario, score) => (run.scores[scenario] || {})[score], (run, scenario, score) => number((run.scores[scenario] || {})[score])),
    { key: "seconds", head: "s", value: (run) => run.seconds, show: (run) => amount(run.seconds) },
    { key: "finished", head: "finished", value: (run) => run.finished }];
  return table("runs", columns, data.runs.filter((run) => isShown(run.labels)));
}

/* Pictures */

function steps(low, high, most = 5, whole = false) {
  const raw = (high - low || 1) / most;
  const power = 10 ** Math.floor(Math.log10(raw));
  let step = [1, 2, 5, 10].map((factor) => factor * power).find((value) => value >= raw);
  if (whole) step = Math.max(1, Math.round(step));
  const ticks = [];
  for (let tick = Math.ceil(low / step) * step; tick <= high + step * 1e-6; tick += step) ticks.push(Number(tick.toPrecision(10)));
  return ticks;
}

const WIDTH = 520, HEIGHT = 270, LEFT = 44, RIGHT = 8, TOP = 8, BOTTOM = 34;
const scaled = (low, high, from, to) => (value) => from + ((value - low) / (high - low || 1)) * (to - from);

function frame(title, y, yTicks, xTicks, x) {
  const grid = yTicks.map((tick) => [draw("line", { class: "grid", x1: LEFT, x2: WIDTH - RIGHT, y1: y(tick), y2: y(tick) }),
    draw("text", { x: LEFT - 6, y: y(tick) + 4, "text-anchor": "end" }, String(tick))]);
  const below = xTicks.map(([value, text]) => draw("text", { x: x(value), y: HEIGHT - BOTTOM + 16, "text-anchor": "middle" }, text));
  return draw("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": title }, grid, below);
}
const spread = (values) => {
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const room = (high - low || Math.abs(high) || 1) * 0.05;
  return [low - room, high + room];
};
const legend = (items, extra = []) => el("div", { class: "legend" }, unique(items.map(label)).map((name) => el("span", {}, swatch(name), name)),
  extra.map(([text, dash]) => el("span", {}, draw("svg", { viewBox: "0 0 28 10", style: "display:inline-block;width:28px;margin-right:6px" },
    draw("line", { class: "limit", x1: 0, x2: 28, y1: 6, y2: 6, style: `stroke-dasharray:${dash}` })), text)));
const panel = (items, ...content) => el("div", {}, words(items[0].labels) ? el("h3", {}, words(items[0].labels)) : null, content);

function scenarioPictures() {
  const names = scenarios();
  const control = choice("scenario score", "score", Object.entries(data.scores).filter(([score]) => ["accuracy", "own_accuracy", "macro_f1"].includes(score)));
  const score = picked["scenario score"];
  const limit = { accuracy: "bayes_accuracy", own_accuracy: "own_bayes_accuracy" }[score];
  const at = (cell, name, which) => (cell.scores[name] || {})[which];
  const values = cells().flatMap((cell) => names.flatMap((name) => [at(cell, name, score), at(cell, name, limit)].filter(Boolean).flatMap(([mean, deviation]) => [mean - (deviation || 0), mean + (deviation || 0)])));
  if (!values.length) return null;
  const [low, high] = spread(values);
  const y = scaled(low, high, HEIGHT - BOTTOM, TOP), x = scaled(0, names.length, LEFT, WIDTH - RIGHT);
  const pictures = blocks().map((block) => {
    const svg = frame(`accuracy per test scenario ${words(block[0].labels)}`, y, steps(low, high), names.map((name, place) => [place + 0.5, name]), x);
    names.slice(1).forEach((_, place) => svg.append(draw("line", { class: "grid", x1: x(place + 1), x2: x(place + 1), y1: TOP, y2: HEIGHT - BOTTOM })));
    const slot = 0.84 / block.length;
    const limits = block.map((cell) => names.map((name) => (at(cell, name, limit) || [NaN])[0].toFixed(1)).join());
    const known = limits.filter((own) => /\d/.test(own));
    const isOfMost = (own) => 2 * known.filter((other) => other === own).length > known.length;
    names.forEach((name, place) => block.forEach((cell, index) => {
      const middle = x(place + 0.08 + (index + 0.5) * slot), half = (x(slot) - x(0)) / 2;
      const value = at(cell, name, score), best = at(cell, name, limit);
      if (best) svg.append(draw("line", { class: isOfMost(limits[index]) ? "tick" : "curve tick", color: label(cell), x1: middle - half, x2: middle + half, y1: y(best[0]), y2: y(best[0]) }));
      if (!value) return;
      const [mean, deviation] = value;
      if (deviation) svg.append(draw("line", { class: "curve", color: label(cell), x1: middle, x2: middle, y1: y(mean - deviation), y2: y(mean + deviation) }));
      svg.append(draw("circle", { class: "mark", color: label(cell), cx: middle, cy: y(mean), r: Math.min(5, Math.max(2.5, half)) }));
      const text = `${label(cell)}\n${name}: ${number(mean)} %${deviation === null ? "" : ` ± ${number(deviation)}`}${best ? `\nlimit: ${number(best[0])} %` : ""}`;
      svg.append(draw("rect", { class: "hit", x: middle - half, width: 2 * half, y: TOP, height: HEIGHT - BOTTOM - TOP, "data-tip": text }));
    }));
    return panel(block, svg);
  });
  const says = limit && cells().some((cell) => names.some((name) => at(cell, name, limit))) ? "; strokes: the best possible (Bayes limit), in colour where it is not that of most" : "";
  return [el("div", { class: "controls" }, control), legend(cells()), el("p", { class: "dim" }, `%, mean over seeds with one standard deviation${says}.`), el("div", { class: "panels" }, pictures)];
}

// As `limit_groups` of the plots: limits are the same if they are wherever both are known.
function limitsOf(block) {
  const known = block.filter((cell) => cell.curves["Bayes limit"]), groups = [];
  const length = (cell) => cell.curves["Bayes limit"][0].length;
  for (const cell of [...known].sort((one, other) => length(other) - length(one))) {
    const [rounds, values] = cell.curves["Bayes limit"];
    const agrees = ([points]) => rounds.some((round) => points.has(round)) && rounds.every((round, place) => !points.has(round) || Math.abs(points.get(round) - values[place]) < 0.05);
    const alike = groups.filter(agrees).sort((one, other) => other[1].length - one[1].length)[0] || [new Map(), []];
    if (!alike[1].length) groups.push(alike);
    rounds.forEach((round, place) => alike[0].has(round) || alike[0].set(round, values[place]));
    alike[1].push(cell);
  }
  return groups.sort((one, other) => other[1].length - one[1].length).map(([points, own]) => {
    const rounds = [...points.keys()].sort((one, other) => one - other);
    const name = own.length > known.length / 2 ? "Bayes limit" : `Bayes limit of ${block.filter((cell) => own.includes(cell)).map(label).join(", ")}`;
    return [name, [rounds, rounds.map((round) => points.get(round)), rounds.map(() => 0)]];
  });
}

function curves() {
  const quantities = unique(data.cells.flatMap((cell) => Object.keys(cell.curves))).filter((name) => name !== "Bayes limit");
  const control = choice("quantity", "show", quantities.map((name) => [name, name]));
  const quantity = picked.quantity;
  const items = cells().filter((cell) => cell.curves[quantity]);
  if (!items.length) return null;
  const withLimits = quantity.startsWith("validation");
  const groups = blocks(items).map((block) => [block, withLimits ? limitsOf(block) : []]);
  const dashes = Object.fromEntries(unique(groups.flatMap(([, limits]) => limits.map(([name]) => name))).map((name, place) => [name, DASHES[place % DASHES.length]]));
  const [low, high] = spread([...items.flatMap((cell) => cell.curves[quantity][1].flatMap((mean, place) => [mean - cell.curves[quantity][2][place], mean + cell.curves[quantity][2][place]])),
    ...groups.flatMap(([, limits]) => limits.flatMap(([, curve]) => curve[1]))]);
  const last = Math.max(...items.flatMap((cell) => cell.curves[quantity][0]));
  const first = Math.min(...items.flatMap((cell) => cell.curves[quantity][0]));
  const x = scaled(first, Math.max(last, first + 1), LEFT + 4, WIDTH - RIGHT - 4), y = scaled(low, high, HEIGHT - BOTTOM, TOP);
  const line = (curve, shift = 0) => curve[0].map((round, place) => `${x(round).toFixed(1)},${y(curve[1][place] + shift * curve[2][place]).toFixed(1)}`);
  // A line of one point would not be seen.
  const across = (curve) => curve[0].length > 1 ? curve : [[first, Math.max(last, first + 1)], [curve[1][0], curve[1][0]], [0, 0]];
  const pictures = groups.map(([block, limits]) => {
    const svg = frame(`${quantity} over rounds ${words(block[0].labels)}`, y, steps(low, high, 5, quantity.startsWith("prompts")), steps(first, last, 8, true).map((tick) => [tick, String(tick)]), x);
    svg.append(draw("text", { x: (LEFT + WIDTH) / 2, y: HEIGHT - 3, "text-anchor": "middle" }, first < 1 ? "round (up to 0: the start)" : "round"));
    for (const [name, curve] of limits) svg.append(draw("polyline", { class: "limit", points: line(across(curve)).join(" "), style: `stroke-dasharray:${dashes[name]}` }));
    for (const cell of block) {
      const curve = cell.curves[quantity];
      if (curve[2].some(Boolean)) svg.append(draw("polygon", { class: "band", color: label(cell), points: [...line(curve, 1), ...line(curve, -1).reverse()].join(" ") }));
      svg.append(draw("polyline", { class: "curve", color: label(cell), points: line(curve).join(" ") }));
      if (curve[0].length <= 30) line(curve).forEach((point) => svg.append(draw("circle", { class: "mark", color: label(cell), cx: point.split(",")[0], cy: point.split(",")[1], r: 2.4 })));
    }
    hover(svg, block, limits, quantity, x);
    return panel(block, svg);
  });
  return [el("div", { class: "controls" }, control), legend(items, Object.entries(dashes)), el("div", { class: "panels" }, pictures)];
}

function hover(svg, block, limits, quantity, x) {
  const rounds = unique(block.flatMap((cell) => cell.curves[quantity][0])).sort((one, other) => one - other);
  const cross = draw("line", { class: "cross", y1: TOP, y2: HEIGHT - BOTTOM, visibility: "hidden" });
  const hit = draw("rect", { class: "hit", x: LEFT, y: TOP, width: WIDTH - LEFT - RIGHT, height: HEIGHT - TOP - BOTTOM });
  const at = (curve, round) => curve[1][curve[0].indexOf(round)];
  hit.addEventListener("pointermove", (event) => {
    const box = svg.getBoundingClientRect();
    const where = ((event.clientX - box.left) / box.width) * WIDTH;
    const round = rounds.reduce((best, one) => (Math.abs(x(one) - where) < Math.abs(x(best) - where) ? one : best));
    for (const end of ["x1", "x2"]) cross.setAttribute(end, x(round));
    cross.setAttribute("visibility", "visible");
    const lines = [...block.map((cell) => [label(cell), at(cell.curves[quantity], round)]), ...limits.map(([name, curve]) => [name, at(curve, round)])]
      .filter(([, value]) => value !== undefined).sort((one, other) => other[1] - one[1]);
    hit.setAttribute("data-tip", `round ${round}\n${lines.map(([name, value]) => `${name}: ${amount(value)}`).join("\n")}`);
  });
  hit.addEventListener("pointerleave", () => cross.setAttribute("visibility", "hidden"));
  svg.append(cross, hit);
}

function heatMaps() {
  const known = cells().filter((cell) => cell.clients);
  if (!known.length) return null;
  const scores = unique(known.flatMap((cell) => Object.keys(cell.clients.scores)));
  const options = ["accuracy", "own_accuracy"].filter((score) => scores.includes(score)).map((score) => [score, data.scores[score]]);
  if (scores.includes("bayes_accuracy")) options.push(["gap", "accuracy minus Bayes limit"]);
  const control = choice("client score", "colour", options);
  const score = picked["client score"];
  const value = (cell, place) => {
    const of = cell.clients.scores;
    const [one, limit] = [(of[score === "gap" ? "accuracy" : score] || [])[place], (of.bayes_accuracy || [])[place]];
    return one === null || one === undefined ? null : score !== "gap" ? one : limit === null || limit === undefined ? null : one - limit;
  };
  const values = known.flatMap((cell) => cell.clients.names.map((_, place) => value(cell, place))).filter((one) => one !== null);
  const [low, high] = values.length ? [Math.min(...values), Math.max(...values)] : [0, 1];
  const strength = scaled(low, high, 0.06, 1);
  const kinds = unique(known.flatMap(({ clients }) => Object.keys(clients.patterns).filter((kind) => clients.patterns[kind].some((count) => count))));
  const pictures = blocks(known).flatMap((block) => {
    const groups = new Map();
    for (const cell of block) {
      const key = JSON.stringify([cell.clients.seed, cell.clients.patterns]);
      groups.set(key, [...(groups.get(key) || []), cell]);
    }
    return [...groups.values()].map((group) => panel(group, heatMap(group, kinds, score, value, strength)));
  });
  const many = known.find((cell) => cell.clients.all > cell.clients.names.length);
  const scale = values.length ? `; colour from ${number(low)} (pale) to ${number(high)} (full), the same in all panels` : "";
  return [el("div", { class: "controls" }, control), el("p", { class: "dim" }, `A row per client. Left: share of its training samples with each pattern of modalities, from none (paper) to all (ink). Right: its own test samples, %${scale}. One seed.`
    + (many ? ` ${many.clients.names.length} of ${many.clients.all} clients, evenly chosen.` : "")), el("div", { class: "panels" }, pictures)];
}

function heatMap(group, allKinds, score, value, strength) {
  const { patterns, names, seed } = group[0].clients;
  const kinds = allKinds.filter((kind) => kind in patterns);
  const totals = names.map((_, place) => kinds.reduce((sum, kind) => sum + patterns[kind][place], 0));
  const order = names.map((_, place) => place).sort((one, other) => {
    for (const kind of kinds) {
      const difference = patterns[kind][other] / (totals[other] || 1) - patterns[kind][one] / (totals[one] || 1);
      if (difference) return difference;
    }
    return one - other;
  });
  const columns = kinds.length + group.length + (kinds.length ? 0.5 : 0);
  const short = (text) => text.length > 32 ? `${text.slice(0, 31)}…` : text;
  const head = 14 + 4.5 * Math.max(...[...kinds, ...group.map(label)].map((text) => short(text).length));
  const width = (WIDTH - LEFT - 60) / columns, height = Math.max(3, Math.min(13, 420 / order.length));
  const x = (column) => LEFT + width * column, y = (row) => head + row * height;
  const svg = draw("svg", { viewBox: `0 0 ${WIDTH} ${head + order.length * height + 6}`, role: "img", "aria-label": `clients, seed ${seed}` });
  const title = (column, text) => svg.append(draw("text", { transform: `translate(${x(column) + width / 2} ${head - 6}) rotate(-42)` }, short(text)));
  const box = (column, row, style, text) => svg.append(draw("rect", { x: x(column), y: y(row), width: width - 1, height: Math.max(2, height - 1), style, "data-tip": text }));
  kinds.forEach((kind, column) => title(column, kind));
  group.forEach((cell, index) => title(columns - group.length + index, label(cell)));
  const step = Math.ceil(order.length / 24);
  order.forEach((place, row) => {
    if (row % step === 0) svg.append(draw("text", { x: LEFT - 6, y: y(row) + height - 2, "text-anchor": "end", style: "font-size:10px" }, String(names[place])));
    kinds.forEach((kind, column) => {
      const count = patterns[kind][place];
      box(column, row, `fill:var(--ink);fill-opacity:${(0.04 + 0.9 * count / (totals[place] || 1)).toFixed(3)}`, `client ${names[place]}\n${kind}: ${count} of ${totals[place]} training samples`);
    });
    group.forEach((cell, index) => {
      const one = value(cell, place);
      const style = one === null ? "fill:none;stroke:var(--line)" : `fill:rgb(var(--warm));fill-opacity:${strength(one).toFixed(3)}`;
      box(columns - group.length + index, row, style, `client ${names[place]}, ${label(cell)}\n${one === null ? "not known" : `${number(one)}${score === "gap" ? " points to its limit" : " %"}`}`);
    });
  });
  return svg;
}

/* Pairs, settings, how to reproduce */

function pairs() {
  const visible = data.comparisons.filter((pair) => isShown(pair.labels) && scenarios().includes(pair.scenario)
    && !hidden[data.compared].has(pair.first) && !hidden[data.compared].has(pair.second));
  if (!visible.length) return null;
  const controls = [choice("pair score", "score", unique(visible.map((pair) => pair.score)).map((score) => [score, data.scores[score]])),
    choice("pair scenario", "test scenario", unique(visible.map((pair) => pair.scenario)).map((name) => [name, name])),
    choice("pair block", "group", unique(visible.map((pair) => words(pair.labels))).map((name) => [name, name]))];
  const some = visible.filter((pair) => pair.score === picked["pair score"] && pair.scenario === picked["pair scenario"] && words(pair.labels) === picked["pair block"]);
  const names = data.axes[data.compared].filter((name) => some.some((pair) => pair.first === name || pair.second === name));
  const largest = Math.max(...visible.map((pair) => Math.abs(pair.difference)), 1e-9);
  const place = (row, column) => {
    const pair = some.find((one) => (one.first === row && one.second === column) || (one.first === column && one.second === row));
    if (!pair) return el("td", {}, row === column ? "" : "–");
    const difference = pair.first === row ? pair.difference : -pair.difference;
    const color = difference > 0 ? "--warm" : "--cold";
    return el("td", { class: pair.better ? "best" : null, style: `background:rgba(var(${color}),${(0.75 * Math.abs(difference) / largest).toFixed(3)})`,
      "data-tip": `${row} minus ${column}: ${signed(difference)} points\np ${amount(pair.p)}, corrected (Holm) ${amount(pair.p_holm)}, ${pair.n} seeds\n${pair.verdict}` }, signed(difference) + (pair.better ? "*" : ""));
  };
  const matrix = el("div", { class: "wide", tabindex: 0, "data-keep": "matrix" }, el("table", { class: "heat" }, el("thead", {}, el("tr", {}, el("th", { class: "left" }, "row minus column"), names.map((name) => el("th", {}, name)))),
    el("tbody", {}, names.map((row) => el("tr", {}, el("td", { class: "left" }, swatch(row), row), names.map((column) => place(row, column)))))));
  const text = (key, head) => ({ key, head, left: true, value: (pair) => pair[key] });
  const numeric = (key, head, show) => ({ key, head, value: (pair) => pair[key], show: (pair) => show(pair[key]) });
  const columns = [...others.map((axis) => ({ key: axis, head: axis, left: true, value: (pair) => pair.labels[axis] })),
    { key: "score", head: "score", left: true, value: (pair) => data.scores[pair.score] }, text("scenario", "scenario"), text("first", "first"), text("second", "second"),
    numeric("difference", "difference", signed), numeric("low", "95 % from", signed), numeric("high", "to", signed), numeric("p", "p", amount), numeric("p_holm", "p (Holm)", amount), numeric("n", "n", amount), text("verdict", "verdict")];
  return [el("p", { class: "dim" }, `Percentage points over the seeds that both have, row minus column; bold with a star: significant (two-sided paired t-test, p < 0.05 after Holm's correction over the comparisons of the same score, scenario and group; upper references among themselves). Pairs with fewer than ${data.min_seeds} common seeds are not tested and not here.`),
    el("div", { class: "controls" }, controls), matrix, more("pairs", `All ${visible.length} pairs`, () => table("pairs", columns, visible))];
}

const opened = new Set();
function more(name, title, content) {
  const details = el("details", { class: "more", open: opened.has(name) ? "" : null, style: "margin-top:10px" }, el("summary", {}, title));
  const fill = () => { if (details.childElementCount < 2) details.append(content()); };
  if (opened.has(name)) fill();
  details.addEventListener("toggle", () => { if (details.open) { opened.add(name); fill(); } else opened.delete(name); });
  return details;
}

function settings() {
  if (!data.settings) return null;
  const { shared } = data.settings;
  // First what was varied; then what a method has or has not.
  const kinds = (name) => unique(data.cells.map((cell) => cell.settings[name]).filter((value) => value !== undefined)).length;
  const differing = [...data.settings.differing].sort((one, other) => kinds(other) - kinds(one));
  const varied = differing.length ? table("settings", [...labelColumns(), ...differing.map((name) => ({ key: name, head: name, left: true, value: (cell) => cell.settings[name] ?? "" }))], cells())
    : el("p", {}, "All runs have the same settings, apart from their seeds.");
  const both = ["setting", "value"].map((head, place) => ({ key: head, head, left: true, value: (row) => row[place] }));
  return [varied, more("shared", `${Object.keys(shared).length} settings that all runs share`, () => table("shared", both, Object.entries(shared)))];
}

function reproduce() {
  if (!data.settings) return null;
  const facts = [["commit", unique(data.runs.map((run) => run.commit ?? "none recorded"))], ["machine", unique(data.runs.map((run) => run.machine))],
    ["backbone", unique(data.runs.map((run) => run.backbone))], ["seeds", unique(data.runs.map((run) => run.seed)).sort((one, other) => one - other)],
    ["finished", unique(data.runs.map((run) => run.finished)).sort()]];
  const options = cells().map((cell) => [JSON.stringify(cell.labels), [words(cell.labels), label(cell)].filter(Boolean).join(", ")]);
  const control = choice("recipe", "settings of", options);
  const cell = cells().find((one) => JSON.stringify(one.labels) === picked.recipe);
  const recipe = cell && Object.entries({ ...data.settings.shared, ...cell.settings }).filter(([name]) => !name.startsWith("own_objects."))
    .sort(([one], [other]) => one.includes(".") - other.includes(".")).map(([name, value]) => `${name} = ${value}`).join("\n");
  const code = (id, text) => [el("pre", { id }, text), el("button", { type: "button", onclick: (event) => {
    const button = event.currentTarget;
    const select = () => getSelection().selectAllChildren(document.getElementById(id));
    if (navigator.clipboard) navigator.clipboard.writeText(text).then(() => (button.textContent = "copied"), select);
    else select();
  } }, "copy")];
  return [table("facts", ["what", "value"].map((head, place) => ({ key: head, head, left: true, value: (row) => row[place] })), facts.map(([name, values]) => [name, values.join(", ")])),
    el("h3", { style: "margin-top:14px" }, "This report"), code("commands", data.commands.join("\n")),
    cell ? [el("h3", { style: "margin-top:14px" }, "One run again"), el("div", { class: "controls" }, control),
      cell.own_objects.length ? el("p", {}, `These runs were made from Python with objects of their own (${cell.own_objects.join(", ")}), which a recipe cannot name.`) : null,
      el("p", { class: "dim" }, "Save this as recipe.toml at the commit above, then:"), code("run", cell.seeds.map((seed) => `fedprime run recipe.toml --seed ${seed}`).join("\n")),
      more("recipe", "recipe.toml", () => el("div", {}, code("recipe", recipe)))] : null];
}

const list = (entries) => (entries && entries.length ? el("ul", {}, entries.map((entry) => el("li", {}, entry))) : null);
const SECTIONS = [
  ["Results", () => (data.scenarios.length ? results() : null)], ["Accuracy per test scenario", scenarioPictures], ["Round by round", curves],
  ["Clients", heatMaps], ["Pair by pair", pairs], ["Settings that differ", settings], ["How to reproduce", reproduce],
  ["Every run", () => (data.runs.length ? more("runs", `${data.runs.length} run${data.runs.length === 1 ? "" : "s"}, seed by seed`, runsTable) : null)],
  ["Left out", () => list(data.problems)], ["Notes", () => list(data.notes)],
];
let ready = false;

function render() {
  if (!ready) return;
  const main = document.querySelector("main");
  const [across, down] = [{}, {}];
  for (const box of main.querySelectorAll("[data-keep]")) [across[box.dataset.keep], down[box.dataset.keep]] = [box.scrollLeft, box.scrollTop];
  const focused = document.activeElement && main.contains(document.activeElement) ? [...main.querySelectorAll("button,select,summary")].indexOf(document.activeElement) : -1;
  const sections = SECTIONS.map(([title, content]) => [title, content()]).filter(([, content]) => content);
  const live = data.live ? el("p", { class: "live" }, data.live, silence()) : null;
  const empty = cells().length ? null : el("p", {}, "The filters leave nothing to show.");
  main.replaceChildren(...[live, empty].filter(Boolean), ...sections.map(([title, content]) => el("section", {}, el("h2", {}, title), content)));
  for (const box of main.querySelectorAll("[data-keep]")) [box.scrollLeft, box.scrollTop] = [across[box.dataset.keep] || 0, down[box.dataset.keep] || 0];
  if (focused >= 0) main.querySelectorAll("button,select,summary")[focused]?.focus({ preventScroll: true });
  keep();
}

function silence() {
  const minutes = Math.floor((Date.now() - new Date(document.lastModified)) / 60000);
  return minutes < 2 ? "" : ` The last round ended ${minutes} minutes ago; if the run was stopped, fedprime run --resume goes on with it.`;
}

function keep() {
  if (data.live) sessionStorage.setItem(KEPT, JSON.stringify({ picked, theme }));
}

/* Theme, hints, paper */

const system = matchMedia("(prefers-color-scheme: dark)");
let theme = kept.theme || "system";
const button = document.getElementById("theme");
const named = () => (button.textContent = `theme: ${theme}`);
const paint = (name = theme) => (document.documentElement.dataset.theme = name === "system" ? (system.matches ? "dark" : "light") : name);
system.addEventListener("change", () => paint());
button.addEventListener("click", () => {
  theme = { system: "light", light: "dark", dark: "system" }[theme];
  named();
  paint();
  keep();
});
addEventListener("beforeprint", () => { paint("light"); for (const details of document.querySelectorAll("main details.more")) if (details.querySelector("pre") || details.childElementCount > 1) details.open = true; });
addEventListener("afterprint", () => paint());
addEventListener("pointermove", (event) => {
  const of = event.target.closest && event.target.closest("[data-tip]");
  tip.hidden = !of;
  if (!of) return;
  tip.textContent = of.getAttribute("data-tip");
  tip.style.left = `${Math.max(4, Math.min(event.clientX + 14, innerWidth - tip.offsetWidth - 8))}px`;
  tip.style.top = `${Math.max(4, Math.min(event.clientY + 14, innerHeight - tip.offsetHeight - 8))}px`;
});
addEventListener("click", (event) => {
  for (const details of document.querySelectorAll("#filters details[open]")) if (!details.contains(event.target)) details.open = false;
});
addEventListener("keydown", (event) => {
  if (event.key === "Escape") for (const details of document.querySelectorAll("#filters details[open]")) details.open = false;
});

document.querySelector("h1").textContent = data.name;
named();
paint();
filters();
ready = true;
render();
