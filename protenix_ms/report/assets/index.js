// SPDX-License-Identifier: Apache-2.0
// Draws the table of jobs. Text from files only ever becomes textContent, never markup.
"use strict";
(() => {
const data = JSON.parse(document.getElementById("data").textContent);
const $ = id => document.getElementById(id);
const COLUMNS = [["job", "job"], ["ranking_score", "ranking score", 3], ["plddt", "pLDDT", 1],
  ["ptm", "pTM", 3], ["iptm", "ipTM", 3], ["ipsae", "ipSAE", 3], ["interface", "pair"],
  ["has_clash", "clash"], ["valid", "chemistry right"], ["seeds", "seeds", 0], ["samples", "samples", 0],
  ["model", "model"], ["doubts", "reasons for doubt"]];
const WORDS = {True: "yes", False: "no"};
function node(tag, properties, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}
const classOf = ([key, , digits]) => key === "doubts" ? "text" : digits === undefined ? "text short" : "";
const value = (job, [key, , digits]) => {
  const cell = key === "doubts" && job.doubts ? job.doubts.length : job[key];
  return digits === undefined && key !== "doubts" ? String(cell ?? "") :
    cell === "" || cell === undefined ? null : +cell;
};
function shown(job, column) {
  const cell = value(job, column), [key, , digits] = column;
  if (key === "job") return job.page ? node("a", {href: job.page}, job.job) : job.job;
  if (key === "doubts") return job.problem || (job.doubts || []).join(" ") || "\u2013";
  if (digits !== undefined) return cell === null || !isFinite(cell) ? "\u2013" : cell.toFixed(digits);
  return WORDS[cell] || cell || "\u2013";
}
let order = COLUMNS[1], rising = false;
function draw() {
  const wanted = $("filter").value.toLowerCase();
  const jobs = data.jobs.filter(job => job.job.toLowerCase().includes(wanted));
  jobs.sort((a, b) => {
    const [x, y] = [value(a, order), value(b, order)];
    if (x === null || y === null) return (x === null) - (y === null);  // nothing comes last
    return (rising ? 1 : -1) * (typeof x === "string" ? x.localeCompare(y, "en", {numeric: true}) : x - y);
  });
  $("jobs").replaceChildren(...jobs.map(job => node("tr", {}, ...COLUMNS.map((column, i) => {
    const cell = node(i ? "td" : "th", {className: classOf(column)}, shown(job, column));
    if (!i) cell.scope = "row";
    return cell;
  }))));
  [...$("head").children].forEach((th, i) => th.setAttribute("aria-sort",
    COLUMNS[i] !== order ? "none" : rising ? "ascending" : "descending"));
  $("status").textContent = `${jobs.length} of ${data.jobs.length} jobs, by ${order[1]}, ` +
    (rising ? "lowest first" : "highest first");
}
COLUMNS.forEach(column => {
  const button = node("button", {type: "button"}, column[1]);
  button.addEventListener("click", () => {
    rising = order === column ? !rising : column[2] === undefined;
    order = column;
    draw();
  });
  const th = node("th", {className: classOf(column)}, button);
  th.scope = "col";
  $("head").append(th);
});
$("title").textContent = document.title;
$("count").textContent = "The best sample of every job; a heading sorts, a name opens the job's page.";
$("filter").addEventListener("input", draw);
draw();
document.body.dataset.state = "ready";
})();
