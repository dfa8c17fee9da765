// SPDX-License-Identifier: MIT
// What the page is built of: elements, tables, figures, faults. Every text is set as text: no markup from data.
"use strict";

const page = document.getElementById("report");

// Faults are shown, not swallowed: an empty chart would look like a result.
function showFault(words) {
  const banner = document.createElement("p");
  banner.className = "banner";
  banner.dataset.fault = "";
  banner.setAttribute("role", "alert");
  banner.textContent = `This page could not be drawn whole: ${words}`;
  page.prepend(banner);
}
addEventListener("error", (event) => showFault(event.message));
addEventListener("securitypolicyviolation", (event) =>
  showFault(`the page's policy refused ${event.violatedDirective}`),
);

const results = JSON.parse(document.getElementById("results").textContent);

// el("td", {class: "n"}, "text", child, [more]): an element. Properties that start with "--" are CSS variables.
function el(tag, attributes, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("--")) element.style.setProperty(name, value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

const count = (value) => charts.number.format(value);
// A count of terms is null where they cannot be counted.
const termCount = (value) => (value === null ? "not countable" : count(value));
const oneDigit = (value) => String(+value.toFixed(1));
const median = (values) => d3.median(values) ?? 0;
const runName = (run) => (run.greedy ? "greedy" : `seed ${run.seed}`) + (run.complete === false ? " (incomplete)" : "");
const shortHash = (hash) => el("span", { class: "hash", title: hash }, hash.slice(0, 16));
const signed = (value) => (value > 0 ? `+${count(value)}` : count(value).replace("-", "\u2212"));

// rows: arrays of cells; a cell is text, an element, or a number, which is set to the right.
function table(caption, titles, rows, options = {}) {
  const cell = (value, i) => {
    if (i === 0) return el("th", { scope: "row" }, value);
    const numeric = typeof value === "number" || options.right?.includes(i);
    return el(
      "td",
      { class: numeric ? "n" : options.long?.includes(i) ? "long" : null },
      typeof value === "number" ? count(value) : value,
    );
  };
  const right = (i) => options.right?.includes(i) || (rows.length > 0 && typeof rows[0][i] === "number" && i > 0);
  return el(
    "div",
    { class: options.stack ? "scroll stack" : "scroll", tabindex: "0", role: "region", "aria-label": caption },
    el(
      "table",
      null,
      el("caption", null, caption),
      el(
        "thead",
        null,
        el(
          "tr",
          null,
          titles.map((title, i) => el("th", { scope: "col", class: right(i) ? "n" : null }, title)),
        ),
      ),
      el(
        "tbody",
        null,
        rows.map((row) => el("tr", null, row.map(cell))),
      ),
    ),
  );
}

const legend = (entries) =>
  el(
    "ul",
    { class: "legend" },
    entries.map(({ color, words, shape }) => {
      const swatch = el("span", { class: `swatch ${shape ?? ""}` });
      swatch.style[shape === "hollow" || shape === "ring" ? "borderColor" : "background"] = color;
      return el("li", null, swatch, words);
    }),
  );

// Facts as [what, value], under a title.
const factCard = (title, facts) =>
  el(
    "div",
    { class: "card" },
    el("h3", null, title),
    el(
      "dl",
      null,
      facts.flatMap(([what, value]) => [el("dt", null, what), el("dd", null, value)]),
    ),
  );

// Charts are drawn to the width they have, and anew when it changes.
const drawn = [];
function figure(title, note, draw, legendEntries, data) {
  const place = el("div", { class: "chart" });
  drawn.push({ place, draw, width: 0 });
  return el(
    "figure",
    null,
    el("figcaption", null, el("h3", null, title), el("p", { class: "note" }, note)),
    place,
    legendEntries === null ? null : legend(legendEntries),
    el("details", null, el("summary", null, "The numbers as a table"), data),
  );
}
function drawCharts() {
  for (const chart of drawn) {
    const width = Math.floor(chart.place.clientWidth);
    if (width === 0 || width === chart.width) continue;
    chart.width = width;
    chart.place.replaceChildren(chart.draw(width));
  }
}
