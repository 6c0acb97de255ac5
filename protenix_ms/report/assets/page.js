// SPDX-License-Identifier: Apache-2.0
// Draws a report. Text from files only ever becomes textContent, never markup.
"use strict";
(async () => {
const data = JSON.parse(document.getElementById("data").textContent);
const $ = id => document.getElementById(id);
const tokens = data.tokens, chains = tokens.chains, n = tokens.names.length;
const BANDS = [[90, "#0053d6", "very high, over 90"], [70, "#65cbf3", "high, 70 to 90"],
  [50, "#ffdb13", "low, 50 to 70"], [0, "#ff7d45", "very low, under 50"]];
const PALETTE = ["#4477aa", "#ee7733", "#228833", "#aa3377", "#66ccee", "#ccbb44", "#ee6677",
  "#117733", "#9467bd", "#8c564b", "#e377c2", "#7f7f7f"];
const SCORED = "#1a73e8", ALIGNED = "#e8710a", BOTH = "#8e24aa", CHOSEN = "#d81b60", FADED = "#c3c9d0";
const dark = matchMedia("(prefers-color-scheme: dark)");
const chainOf = new Uint32Array(n);
chains.forEach((chain, i) => chainOf.fill(i, chain.start, chain.end));
const entities = [...new Set(chains.map(chain => chain.entity))];

// ---- small tools
function node(tag, properties, ...children) {
  const element = document.createElement(tag);
  for (const [key, value] of Object.entries(properties || {}))
    key in element ? element[key] = value : element.setAttribute(key, value);
  element.append(...children.map(child => child instanceof Node ? child : String(child)));
  return element;
}
function swatch(colour) {  // an SVG, since the policy allows no style attribute
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const box = document.createElementNS("http://www.w3.org/2000/svg", "rect");
  for (const [key, value] of Object.entries({width: 13, height: 13, "aria-hidden": "true"}))
    svg.setAttribute(key, value);
  for (const [key, value] of Object.entries({width: 13, height: 13, rx: 3, fill: colour}))
    box.setAttribute(key, value);
  svg.append(box);
  return svg;
}
function table(head, rows, caption) {
  const cell = value => node("td", {className: typeof value === "string" ? "text" : ""}, value);
  const result = node("table", caption ? {"aria-label": caption} : {},
    node("thead", {}, node("tr", {}, ...head.map(name => node("th", {scope: "col"}, name)))),
    node("tbody", {}, ...rows.map(row => node("tr", {}, ...row.map(cell)))));
  result.querySelectorAll("tbody tr:first-child td").forEach((td, i) => {
    if (td.className) result.querySelectorAll("th")[i].className = "text";
  });
  return result;
}
const number = (value, digits) => typeof value === "number" && isFinite(value) ?
  value.toFixed(digits) : null;
const figure = (value, digits) => number(value === "" || value == null ? null : +value, digits);
const numeric = (value, digits) => node("span", {}, number(value, digits) ?? "\u2013");
const at = (matrix, i, j) => Array.isArray(matrix) && Array.isArray(matrix[i]) ? matrix[i][j] : null;
const nameOf = token => `${chains[chainOf[token]].name} ${tokens.names[token]}`;
const css = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
async function unpack(text) {
  const bytes = Uint8Array.from(atob(text), letter => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}
const say = text => { $("status").textContent = text; };

// ---- state
const atomToken = new Uint32Array((await unpack(tokens.ofAtom)).buffer);
const atomsOf = Array.from({length: n}, () => []);
atomToken.forEach((token, atom) => atomsOf[token].push(atom));
let sample = null, index = 0, cif = "", model = null, pae = null, contacts = null, turn = 0;
let marks = new Map(), rectangle = null, cursor = null;  // token -> colour; first and last of both

// ---- structure
let viewer = null;
try {
  viewer = $3Dmol.createViewer($("viewer"), {antialias: true, preserveDrawingBuffer: true});
} catch (error) { viewer = null; }
if (!viewer) $("viewer").textContent = "This browser draws no WebGL: the structure is not shown.";

const band = value => (BANDS.find(([least]) => value >= least) || BANDS[3])[1];
function colour(token) {
  if (marks.size) return marks.get(token) || FADED;
  const way = $("colour").value;
  if (way === "chain") return PALETTE[chainOf[token] % PALETTE.length];
  if (way === "entity")
    return PALETTE[entities.indexOf(chains[chainOf[token]].entity) % PALETTE.length];
  return band(sample.plddt[token]);
}
function paint() {
  if (!viewer || !model) return;
  const colorfunc = atom => colour(atomToken[atom.index]);
  viewer.setStyle({}, {cartoon: {colorfunc, arrows: true}});
  const short = new Set(chains.flatMap((chain, i) => chain.end - chain.start < 4 ? [i] : []));
  const sticks = {stick: {colorfunc, radius: 0.18}, sphere: {colorfunc, scale: 0.26}};
  viewer.addStyle({predicate: atom => atom.hetflag || short.has(chainOf[atomToken[atom.index]])},
    sticks);
  if (marks.size <= 12) viewer.addStyle({predicate: atom => marks.has(atomToken[atom.index])}, sticks);
  viewer.render();
}
function legend() {
  const way = $("colour").value, items = [];
  if (marks.size && rectangle) items.push([SCORED, "scored"], [ALIGNED, "aligned"], [BOTH, "both"]);
  else if (marks.size) items.push([CHOSEN, "selected"]);
  else if (way === "plddt") items.push(...BANDS.map(([, shade, word]) => [shade, word]));
  else if (way === "chain") items.push(...chains.slice(0, 24).map((chain, i) =>
    [PALETTE[i % PALETTE.length], `chain ${chain.name}`]));
  else items.push(...entities.slice(0, 24).map((entity, i) =>
    [PALETTE[i % PALETTE.length], `entity ${entity}`]));
  $("legend").replaceChildren(...items.map(([shade, word]) => node("span", {}, swatch(shade), word)));
}
function background() {
  if (viewer) viewer.setBackgroundColor(dark.matches ? "#14181d" : "#ffffff");
}

// ---- selection
function select(found, what) {  // found: token -> colour
  marks = found;
  rectangle = null;
  refresh(what);
}
function selectTokens(list, what) {
  select(new Map(list.map(token => [token, CHOSEN])), what);
}
function selectRectangle(r) {  // r: columns c0..c1 are scored, rows r0..r1 aligned; both ends count
  const found = new Map();
  for (let t = r.r0; t <= r.r1; t++) found.set(t, ALIGNED);
  for (let t = r.c0; t <= r.c1; t++) found.set(t, found.has(t) ? BOTH : SCORED);
  marks = found;
  rectangle = r;
  const mean = average(r);
  refresh(`scored ${nameOf(r.c0)} to ${nameOf(r.c1)} (blue), aligned ${nameOf(r.r0)} to ` +
    `${nameOf(r.r1)} (orange)` + (mean === null ? "" : `, mean ${mean}`));
}
function refresh(what) {
  paint(); legend(); drawMap(); drawCurve();
  const pressed = new Set();
  chains.forEach((chain, i) => {
    let all = marks.size > 0 && !rectangle;
    for (let t = chain.start; all && t < chain.end; t++) all = marks.has(t);
    if (all) pressed.add(i);
  });
  [...$("chains").children].forEach((button, i) =>
    button.setAttribute("aria-pressed", String(pressed.has(i))));
  for (const option of $("residues").options) option.selected = !rectangle && marks.has(+option.value);
  if (what !== undefined) say(what);
  document.body.dataset.selected = marks.size;
}

// ---- map of pairs
const kind = () => $("map-kind").value;
const values = () => kind() === "pae" ? pae : contacts;
const side = array => Math.round(Math.sqrt(array.length));
const shown = (array, i, j) => {  // value of a pair of tokens, aligned i, scored j
  const w = side(array), block = Math.ceil(n / w);
  return array[Math.floor(i / block) * w + Math.floor(j / block)] /
    (kind() === "pae" ? data.paeSteps : 255);
};
const worded = value => kind() === "pae" ? `${value.toFixed(1)} \u00c5` : value.toFixed(2);
function average(r) {
  const array = values();
  if (!array) return null;
  let sum = 0;
  for (let i = r.r0; i <= r.r1; i++) for (let j = r.c0; j <= r.c1; j++) sum += shown(array, i, j);
  return worded(sum / ((r.r1 - r.r0 + 1) * (r.c1 - r.c0 + 1)));
}
function shade(x) {  // PAE: dark green is certain; contacts: dark blue is likely
  return kind() === "pae" ? [20 + 235 * x, 70 + 185 * x, 35 + 220 * x] :
    [255 - 245 * x, 255 - 190 * x, 255 - 100 * x];
}
let picture = null, pictureOf = null;
function mapPicture(array) {
  if (pictureOf === array) return picture;
  const w = side(array), image = new ImageData(w, w), full = kind() === "pae" ? 32 * data.paeSteps : 255;
  const table = Array.from({length: 256}, (_, v) => shade(Math.min(1, v / full)));
  for (let k = 0; k < w * w; k++) {
    const rgb = table[array[k]];
    image.data[4 * k] = rgb[0]; image.data[4 * k + 1] = rgb[1]; image.data[4 * k + 2] = rgb[2];
    image.data[4 * k + 3] = 255;
  }
  picture = new OffscreenCanvas(w, w);
  picture.getContext("2d").putImageData(image, 0, 0);
  pictureOf = array;
  return picture;
}
function drawMap() {
  const canvas = $("map"), pen = canvas.getContext("2d"), size = canvas.width, scale = size / n;
  const array = values();
  pen.fillStyle = css("--soft");
  pen.fillRect(0, 0, size, size);
  if (!array) {
    pen.fillStyle = css("--quiet"); pen.font = "26px sans-serif"; pen.textAlign = "center";
    pen.fillText("the run wrote no full data, so there is no map", size / 2, size / 2);
    return;
  }
  pen.imageSmoothingEnabled = array.length > size * size;
  const block = Math.ceil(n / side(array)), wide = side(array) * block * scale;
  pen.drawImage(mapPicture(array), 0, 0, wide, wide);
  pen.strokeStyle = "#000"; pen.lineWidth = 1.5;
  pen.beginPath();
  chains.slice(1).forEach(chain => {
    const at = Math.round(chain.start * scale);
    pen.moveTo(at, 0); pen.lineTo(at, size); pen.moveTo(0, at); pen.lineTo(size, at);
  });
  pen.stroke();
  if (rectangle) {
    pen.strokeStyle = "#e00000"; pen.lineWidth = 3;
    pen.strokeRect(rectangle.c0 * scale, rectangle.r0 * scale,
      (rectangle.c1 - rectangle.c0 + 1) * scale, (rectangle.r1 - rectangle.r0 + 1) * scale);
  } else for (const [token, shade] of marks) {
    pen.fillStyle = shade; pen.globalAlpha = marks.size > n / 2 ? 0.12 : 0.3;
    pen.fillRect(token * scale, 0, Math.max(scale, 1.5), size);
    pen.fillRect(0, token * scale, size, Math.max(scale, 1.5));
    pen.globalAlpha = 1;
  }
  if (cursor) {
    pen.strokeStyle = "#e00000"; pen.lineWidth = 2;
    pen.strokeRect(cursor.j * scale - 3, cursor.i * scale - 3, scale + 6, scale + 6);
  }
}
function mapLegend() {
  const ends = kind() === "pae" ? ["0 \u00c5", "32 \u00c5 or more"] : ["0", "1"];
  const canvas = node("canvas", {width: 120, height: 12, "aria-hidden": "true"});
  const pen = canvas.getContext("2d");
  for (let x = 0; x < 120; x++) {
    pen.fillStyle = `rgb(${shade(x / 119).map(Math.round).join()})`;
    pen.fillRect(x, 0, 1, 12);
  }
  const array = values(), block = array ? Math.ceil(n / side(array)) : 1;
  $("map-legend").replaceChildren(node("span", {}, ends[0], " ", canvas, " ", ends[1]),
    node("span", {}, "columns scored, rows aligned; drag a rectangle"),
    ...(block > 1 ? [node("span", {}, `a point is the mean of ${block} tokens`)] : []));
}
function tell(i, j) {
  const array = values();
  say(`aligned ${nameOf(i)}, scored ${nameOf(j)}` + (array ? `: ${worded(shown(array, i, j))}` : ""));
}
function place(event) {
  const box = $("map").getBoundingClientRect(), clip = v => Math.max(0, Math.min(n - 1, v));
  return {j: clip(Math.floor((event.clientX - box.left - 1) / (box.width - 2) * n)),
    i: clip(Math.floor((event.clientY - box.top - 1) / (box.height - 2) * n))};
}
const corners = (a, b) => ({c0: Math.min(a.j, b.j), c1: Math.max(a.j, b.j),
  r0: Math.min(a.i, b.i), r1: Math.max(a.i, b.i)});
function listenToMap() {
  const canvas = $("map");
  let from = null, anchor = null, moved = false;
  canvas.addEventListener("pointerdown", event => {
    from = place(event); moved = false; cursor = null;
    canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener("pointermove", event => {
    const here = place(event);
    tell(here.i, here.j);
    if (!from) return;
    moved = moved || here.i !== from.i || here.j !== from.j;
    if (moved) { rectangle = corners(from, here); drawMap(); }
  });
  canvas.addEventListener("pointerup", event => {
    if (!from) return;
    selectRectangle(corners(from, place(event)));
    from = null;
  });
  canvas.addEventListener("pointercancel", () => { from = null; });
  canvas.addEventListener("keydown", event => {
    const step = {ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0]}[event.key];
    if (event.key === "Escape") { cursor = anchor = null; select(new Map(), "nothing is selected"); }
    else if (event.key === "Enter" && cursor) selectRectangle(corners(anchor || cursor, cursor));
    else if (step) {
      cursor = cursor || {i: 0, j: 0};
      if (!event.shiftKey) anchor = null; else anchor = anchor || {...cursor};
      cursor.i = Math.max(0, Math.min(n - 1, cursor.i + step[0]));
      cursor.j = Math.max(0, Math.min(n - 1, cursor.j + step[1]));
      rectangle = anchor ? corners(anchor, cursor) : null;
      drawMap(); tell(cursor.i, cursor.j);
    } else return;
    event.preventDefault();
  });
}

// ---- pLDDT along the tokens, and coverage of alignments
function frame(canvas) {
  canvas.width = Math.max(300, Math.round(canvas.clientWidth * 2));
  const pen = canvas.getContext("2d");
  pen.clearRect(0, 0, canvas.width, canvas.height);
  return pen;
}
function drawCurve() {
  const canvas = $("curve"), pen = frame(canvas), w = canvas.width, h = canvas.height, left = 50;
  const x = t => left + t * (w - left - 6) / n, y = v => h - 8 - v * (h - 16) / 100;
  let top = 100;
  for (const [least, shade] of BANDS) {
    pen.globalAlpha = 0.22; pen.fillStyle = shade;
    pen.fillRect(left, y(top), w - left, y(least) - y(top));
    top = least;
  }
  pen.globalAlpha = 0.35;
  for (const [token, shade] of marks) {
    pen.fillStyle = shade;
    pen.fillRect(x(token), 0, Math.max(2, x(1) - x(0)), h);
  }
  pen.globalAlpha = 1;
  pen.fillStyle = css("--quiet"); pen.font = "22px sans-serif"; pen.textAlign = "right";
  [50, 70, 90].forEach(v => pen.fillText(v, left - 8, y(v) + 8));
  pen.strokeStyle = pen.fillStyle = css("--ink"); pen.lineWidth = 2.5;
  for (const chain of chains) {
    pen.beginPath();
    for (let t = chain.start; t < chain.end; t++) pen.lineTo(x(t + 0.5), y(sample.plddt[t]));
    pen.stroke();
    if (chain.end - chain.start < 3)
      for (let t = chain.start; t < chain.end; t++) pen.fillRect(x(t + 0.5) - 3, y(sample.plddt[t]) - 3, 6, 6);
  }
  pen.lineWidth = 1; pen.strokeStyle = css("--quiet");
  pen.beginPath();
  chains.slice(1).forEach(chain => { pen.moveTo(x(chain.start), 0); pen.lineTo(x(chain.start), h); });
  pen.stroke();
}
function listenToCurve() {
  const canvas = $("curve");
  const token = event => {
    const box = canvas.getBoundingClientRect(), scale = canvas.width / box.width;
    return Math.max(0, Math.min(n - 1, Math.floor(
      ((event.clientX - box.left) * scale - 50) / (canvas.width - 56) * n)));
  };
  canvas.addEventListener("mousemove", event => {
    const t = token(event);
    say(`${nameOf(t)}: pLDDT ${sample.plddt[t].toFixed(1)}`);
  });
  canvas.addEventListener("click", event => {
    const t = token(event);
    selectTokens([t], `selected ${nameOf(t)}, pLDDT ${sample.plddt[t].toFixed(1)}`);
  });
}
function drawCoverage() {
  const entries = (data.record.alignments || []).filter(entry => Array.isArray(entry.coverage));
  $("coverage").hidden = !entries.length;
  $("coverage").querySelectorAll("div").forEach(old => old.remove());
  for (const entry of entries) {
    const canvas = node("canvas", {height: 120, role: "img", "aria-label":
      `rows with a residue in every column of entity ${entry.entity}`});
    canvas.className = "covered";
    $("coverage").append(node("div", {}, node("h3", {},
      `Entity ${entry.entity}: ${entry.rows} rows, of which ${entry.paired || 0} may be paired`), canvas));
    const pen = frame(canvas), most = Math.max(...entry.coverage, 1), w = canvas.width;
    const width = (w - 80) / entry.coverage.length;
    pen.fillStyle = css("--mark");
    entry.coverage.forEach((count, i) => {
      const tall = 104 * count / most;
      pen.fillRect(80 + i * width, 112 - tall, Math.max(1, width + 0.5), tall);
    });
    pen.fillStyle = css("--quiet"); pen.font = "20px sans-serif"; pen.textAlign = "right";
    pen.fillText(most, 72, 26); pen.fillText("0", 72, 114);
  }
}

// ---- lists and tables
function buildLists() {
  chains.forEach((chain, i) => {
    const size = chain.end - chain.start, single = chain.kind === "ligand" || chain.kind === "glycan";
    const given = ((data.record.chains || []).find(entry => entry.chain === chain.name) || {}).name;
    const word = `${chain.name}: ${chain.kind}` + (single ?
      ` ${tokens.names[chain.start].split(" ")[0]}` : `, ${size} tokens`) + (given ? ` (${given})` : "");
    const button = node("button", {type: "button", className: "chip", "aria-pressed": "false"},
      swatch(PALETTE[i % PALETTE.length]), word);
    button.addEventListener("click", event => {
      const list = Array.from({length: size}, (_, k) => chain.start + k);
      const kept = event.shiftKey || event.ctrlKey ? [...marks.keys()] : [];
      selectTokens([...kept, ...list], `selected chain ${chain.name}, mean pLDDT ` +
        (list.reduce((sum, t) => sum + sample.plddt[t], 0) / size).toFixed(1));
      fillResidues(i);
      if (viewer) zoom(list);
    });
    $("chains").append(button);
    $("chain-of").append(new Option(`chain ${chain.name}`, i));
  });
  $("chain-of").addEventListener("change", event => fillResidues(+event.target.value));
  $("residues").addEventListener("change", event => {
    const list = [...event.target.selectedOptions].map(option => +option.value);
    selectTokens(list, list.length === 1 ?
      `selected ${nameOf(list[0])}, pLDDT ${sample.plddt[list[0]].toFixed(1)}` :
      `selected ${list.length} tokens`);
    if (viewer && list.length) zoom(list);
  });
}
function fillResidues(i) {
  $("chain-of").value = i;
  $("residues").replaceChildren(...Array.from({length: chains[i].end - chains[i].start}, (_, k) => {
    const t = chains[i].start + k, option = new Option(tokens.names[t], t);
    option.selected = !rectangle && marks.has(t);
    return option;
  }));
}
function lookAtAll(time) {  // the longest extent lies across, the shortest towards the eye
  viewer.zoomTo();
  const view = viewer.getView();
  viewer.setView([...view.slice(0, 4), ...sample.turn]);
  viewer.zoomTo({}, time);
}
function zoom(list) {
  viewer.zoomTo({index: list.flatMap(t => atomsOf[t])}, 400);
}
function buildRanking() {
  const shownRows = new Map(data.samples.map((s, i) => [s.row.rank, i]));
  const head = ["rank", "seed", "sample", "ranking score", "pLDDT", "pTM", "ipTM", "ipSAE (best pair)", "clash", ""];
  const rows = data.ranking.map(row => [+row.rank + 1, +row.seed, +row.sample,
    numeric(+row.ranking_score, 3), numeric(+row.plddt, 1), numeric(+row.ptm, 3),
    numeric(chains.length > 1 ? +row.iptm : null, 3),
    row.interface ? `${figure(row.ipsae, 3)} (${row.interface})` : numeric(null),
    numeric(null), numeric(null)]);
  const result = table(head, rows, "samples, best first");
  result.querySelectorAll("tbody tr").forEach((tr, k) => {
    const row = data.ranking[k], cells = tr.querySelectorAll("td");
    cells[8].textContent = row.has_clash === "True" ? "yes" : "no";
    const i = shownRows.get(row.rank);
    if (i === undefined) cells[9].textContent = "only in its files";
    else {
      const button = node("button", {type: "button"}, "show");
      button.setAttribute("aria-label", `show rank ${+row.rank + 1}`);
      button.addEventListener("click", () => show(i));
      cells[9].replaceChildren(button);
      tr.dataset.sample = i;
    }
  });
  $("ranking").replaceChildren(result);
}
function section(title, ...content) {
  return node("section", {}, node("h2", {}, title), node("div", {className: "scroll"}, ...content));
}
function sampleTables() {
  const s = sample.summary, ids = s.chain_ids || chains.map(chain => chain.name), parts = [];
  const rows = [];
  ids.forEach((a, i) => ids.forEach((b, j) => {
    if (i < j) rows.push([`${a} \u2013 ${b}`, numeric(at(s.chain_pair_iptm, i, j), 3),
      numeric(at(s.chain_pair_ipsae_max, i, j), 3), numeric(at(s.chain_pair_pdockq2_max, i, j), 3),
      numeric(Math.min(at(s.chain_pair_pae_min, i, j) ?? NaN, at(s.chain_pair_pae_min, j, i) ?? NaN), 2)]);
  }));
  parts.push(section("Chains", table(["chain", "pLDDT", "pTM", "ipTM"], ids.map((id, i) => [id,
    numeric(100 * (s.chain_plddt || [])[i], 1), numeric((s.chain_ptm || [])[i], 3),
    numeric(ids.length > 1 ? (s.chain_iptm || [])[i] : null, 3)]), "chains")));
  if (rows.length) parts.push(section("Pairs of chains", table(
    ["pair", "ipTM", "ipSAE", "pDockQ2", "minimum PAE (\u00c5)"], rows, "pairs of chains")));
  if ((s.constraints || []).length) parts.push(section("Constraints", table(
    ["kind", "between", "limits (\u00c5)", "distance (\u00c5)", "met", "read by the model"],
    s.constraints.map(c => [String(c.kind), `${c.first} \u2013 ${c.second}`,
      `${c.min_distance} to ${c.max_distance}`, numeric(c.distance, 1), c.satisfied ? "yes" : "NO",
      c.used ? "yes" : "no"]))));
  const hits = (data.record.templates || {}).hits || [];
  if (hits.length) parts.push(section("Templates", table(
    ["entity", "template", "used", "aligned", "identity", "remark"], hits.map(hit => [String(hit.entity),
      String(hit.name), hit.reason ? "no" : "yes", numeric(hit.aligned, 0), numeric(hit.identity, 2),
      String(hit.reason || (hit.chance ? "may be a chance hit" : ""))]))));
  const counts = ["close_contacts", "wrong_chirality", "wrong_double_bonds", "non_planar_groups",
    "wrong_bond_lengths"].filter(key => typeof s[key] === "number");
  if (counts.length) parts.push(section("Chemistry of ligands and modified residues", table(
    counts.map(key => key.replaceAll("_", " ")), [counts.map(key => s[key])])));
  const energy = s.guidance_energy;
  if (energy && energy.before && energy.after) parts.push(section("Energies of guidance", table(
    ["term", "before the last step", "after"], Object.keys(energy.after).map(term => [term,
      numeric(energy.before[term], 3), numeric(energy.after[term], 3)]))));
  $("tables").replaceChildren(...parts);
}
function settings() {
  const record = data.record, s = record.settings || {}, sampler = (s.config || {}).sample_diffusion || {};
  const rows = [["model", record.model], ["weights", record.random_weights ? "random" : record.weights_file],
    ["weights, sha256", s.weights], ["component table, sha256", s.ccd], ["input", record.input],
    ["device, number format", `${s.device || ""} ${s.dtype || ""}`], ["denoising steps", sampler.N_step],
    ["recycles", ((s.config || {}).model || {}).N_cycle], ["samples per seed", sampler.N_sample],
    ["guidance", (sampler.guidance || {}).enable ? "on" : "off"],
    ["seeds", Object.keys(record.seeds || {}).join(", ")],
    ["versions", Object.entries(record.versions || {}).map(pair => pair.join(" ")).join(", ")],
    ["processor", (record.machine || {}).processor],
    ["file of this sample", sample.row.file], ["its sha256", sample.sha256]];
  const notes = (record.notes || []).map(note => ["note", String(note)]);
  $("settings").replaceChildren(
    table(["", ""], [...rows, ...notes].filter(row => row[1] != null && row[1] !== "").map(row =>
      row.map(String)), "settings"),
    node("details", {}, node("summary", {}, "All settings"),
      node("pre", {}, JSON.stringify(s, null, 1))));
}
function trust() {
  const doubts = [...data.doubts, ...sample.doubts];
  $("doubts").replaceChildren(...(doubts.length ? doubts : ["Nothing was noticed. " +
    "Confidence is the model's own estimate; it is no measurement."]).map(text => node("li", {}, text)));
  $("trust").classList.toggle("alarming", Boolean(data.record.random_weights));
}

// ---- a sample
async function show(i) {
  const mine = ++turn, next = data.samples[i];
  const parts = await Promise.all([next.cif, next.pae, data.contacts[next.contacts]].map(
    text => text ? unpack(text) : null));
  if (mine !== turn) return;  // another sample was chosen meanwhile
  [index, sample] = [i, next];
  cif = new TextDecoder().decode(parts[0]);
  [, pae, contacts] = parts;
  $("sample").value = i;
  const row = sample.row;
  $("scores").textContent = `ranking ${figure(row.ranking_score, 3)}   pLDDT ${figure(row.plddt, 1)}   ` +
    `pTM ${figure(row.ptm, 3)}` + (chains.length > 1 ? `   ipTM ${figure(row.iptm, 3)}` : "");
  if (viewer) {
    viewer.removeAllModels();
    model = viewer.addModel(cif, "mmcif");
    viewer.setClickable({}, true, atom => {
      const t = atomToken[atom.index];
      selectTokens([t], `selected ${nameOf(t)} ${atom.atom}, pLDDT ${sample.plddt[t].toFixed(1)}`);
    });
    viewer.setHoverable({}, true, atom => {
      const t = atomToken[atom.index];
      say(`${nameOf(t)} ${atom.atom}: pLDDT ${sample.plddt[t].toFixed(1)}`);
    }, () => {});
    lookAtAll();
  }
  document.querySelectorAll("#ranking tr").forEach(tr =>
    tr.classList.toggle("current", tr.dataset.sample === String(i)));
  trust(); sampleTables(); settings(); mapLegend();
  refresh();
  document.body.dataset.atoms = model ? model.selectedAtoms({}).length : 0;
  document.body.dataset.sample = i;
}
function listen() {
  $("sample").addEventListener("change", event => show(+event.target.value));
  $("colour").addEventListener("change", () => { marks = new Map(); rectangle = null; refresh(""); });
  $("map-kind").addEventListener("change", () => { mapLegend(); refresh(); });
  $("clear").addEventListener("click", () => {
    cursor = null;
    select(new Map(), "nothing is selected");
    if (viewer) lookAtAll(400);
  });
  $("download").addEventListener("click", () => {
    const url = URL.createObjectURL(new Blob([cif], {type: "chemical/x-mmcif"}));
    node("a", {href: url, download: sample.row.file.split("/").pop()}).click();
    setTimeout(() => URL.revokeObjectURL(url), 1000);
  });
  $("viewer").addEventListener("keydown", event => {
    const turned = {ArrowLeft: [-10, "y"], ArrowRight: [10, "y"], ArrowUp: [-10, "x"], ArrowDown: [10, "x"]}[event.key];
    if (!viewer) return;
    if (turned) viewer.rotate(...turned);
    else if (event.key === "+" || event.key === "=") viewer.zoom(1.2);
    else if (event.key === "-") viewer.zoom(1 / 1.2);
    else if (event.key === "0") lookAtAll();
    else return;
    viewer.render();
    event.preventDefault();
  });
  dark.addEventListener("change", () => { background(); refresh(); drawCoverage(); });
  addEventListener("resize", () => { drawCurve(); drawCoverage(); });
  listenToMap(); listenToCurve();
}

$("job").textContent = data.job;
$("model").textContent = [data.record.model, data.record.random_weights ? "random weights" :
  (data.record.weights_file || "").split("/").pop(), `${n} tokens`, `${atomToken.length} atoms`,
  `${chains.length} chain${chains.length > 1 ? "s" : ""}`,
  `${data.ranking.length} sample${data.ranking.length > 1 ? "s" : ""}`].filter(Boolean).join(" \u00b7 ");
data.samples.forEach((s, i) => $("sample").append(new Option(
  `rank ${+s.row.rank + 1}: seed ${s.row.seed}, sample ${s.row.sample}`, i)));
$("citation").textContent = data.citation;
$("licence").textContent = data.licence;
if (!data.contacts.some(Boolean)) $("map-kind").disabled = true;
buildLists(); buildRanking(); fillResidues(0); background(); listen();
await show(0);
drawCoverage();
window.report = {selected: () => [...marks].sort((a, b) => a[0] - b[0]), index: () => index,
  drawn: () => viewer ? viewer.pngURI() : ""};
document.body.dataset.state = "ready";
})();
