// SPDX-License-Identifier: MIT
// The charts of an evaluation: each function takes data and a width and gives elements drawn by Observable Plot.
"use strict";

const evaluationCharts = (() => {
  const gap = 24;
  const conditionColor = (index) => charts.clusterColor(index);

  // Panels side by side, as many as fit. draw(panel, width) gives an SVG element; panels: {title, ...}.
  function panels(list, width, least, draw) {
    const columns = Math.max(1, Math.min(list.length, Math.floor((width + gap) / (least + gap))));
    const each = Math.floor((width - gap * (columns - 1)) / columns);
    const box = document.createElement("div");
    box.className = "panels";
    for (const panel of list) {
      const place = document.createElement("div");
      const title = document.createElement("h4");
      title.textContent = panel.title;
      place.append(title, draw(panel, each));
      box.append(place);
    }
    return box;
  }

  const leftMargin = (names) => 16 + Math.max(0, ...names.map((name) => name.length)) * 6.6;

  // Condition minus semantic. panels: {title, name, rows: [{condition, series, difference, low, high}]}; low and high
  // are null where there is no interval. series: [{name, color}]; one scale for all panels when `shared`.
  function differences(list, conditions, series, unit, shared, width) {
    const extent = (rows) =>
      d3.extent(rows.flatMap((row) => [0, row.difference, row.low ?? row.difference, row.high ?? row.difference]));
    const whole = extent(list.flatMap((panel) => panel.rows));
    const offset = (i) => (series.length === 1 ? 0 : (i - (series.length - 1) / 2) * 9);
    return panels(list, width, 330, (panel, each) =>
      charts.frame(each, {
        height: 50 + conditions.length * (series.length === 1 ? 24 : 30),
        marginLeft: leftMargin(conditions),
        marginRight: 14,
        marginBottom: 42,
        ariaLabel: `Difference to semantic: ${panel.name}`,
        x: {
          domain: shared ? whole : extent(panel.rows),
          nice: true,
          grid: true,
          ticks: 5,
          label: `${panel.unit ?? unit} \u2192`,
          labelOffset: 38,
        },
        y: { domain: conditions, label: null, tickSize: 0, padding: 0.2 },
        marks: [
          Plot.ruleX([0], { stroke: "currentColor" }),
          series.flatMap((one, i) => {
            const rows = panel.rows.filter((row) => row.series === one.name);
            return [
              Plot.ruleY(
                rows.filter((row) => row.low !== null),
                { x1: "low", x2: "high", y: "condition", stroke: one.color, strokeWidth: 2.5, dy: offset(i) },
              ),
              Plot.dot(rows, {
                x: "difference",
                y: "condition",
                r: 4,
                dy: offset(i),
                stroke: one.color,
                strokeWidth: 2,
                fill: (row) => (row.low === null ? "var(--card)" : one.color),
                tip: { format: { x: true, y: true, fill: false, stroke: false } },
                channels: {
                  low: { value: (row) => row.low ?? NaN, label: "from" },
                  high: { value: (row) => row.high ?? NaN, label: "to" },
                },
              }),
            ];
          }),
        ],
      }),
    );
  }

  // One bar a condition. rows: {condition, value}
  function bars(rows, name, unit, width) {
    const conditions = rows.map((row) => row.condition);
    return charts.frame(width, {
      height: 50 + conditions.length * 26,
      marginLeft: leftMargin(conditions),
      marginRight: 60,
      marginBottom: 42,
      ariaLabel: name,
      x: { grid: true, zero: true, nice: true, label: `${unit} \u2192`, labelOffset: 38, ticks: width < 500 ? 3 : 6 },
      y: { domain: conditions, label: null, tickSize: 0, padding: 0.2 },
      marks: [
        Plot.barX(rows, { x: "value", y: "condition", fill: "var(--decode)", tip: true }),
        Plot.text(rows, {
          x: "value",
          y: "condition",
          text: (row) => row.value.toFixed(4),
          textAnchor: "start",
          dx: 6,
          fill: "currentColor",
        }),
        Plot.ruleX([0], { stroke: "var(--line)" }),
      ],
    });
  }

  const color = (conditions) => ({
    type: "ordinal",
    domain: conditions,
    range: conditions.map((_, i) => conditionColor(i)),
  });

  // How figures change along a number. list: {title, name, unit, rows: [{condition, x, y}]}
  function lines(list, conditions, along, width) {
    return panels(list, width, 300, (panel, each) =>
      charts.frame(each, {
        height: 260,
        marginLeft: 56,
        marginBottom: 42,
        ariaLabel: `${panel.name} by ${along}`,
        x: {
          label: `${along} \u2192`,
          labelOffset: 38,
          ticks: [...new Set(panel.rows.map((row) => row.x))],
          tickFormat: "d",
          inset: 10,
        },
        y: { label: `\u2191 ${panel.unit}`, grid: true, zero: true, nice: true, ticks: 5 },
        color: color(conditions),
        marks: [
          Plot.line(panel.rows, { x: "x", y: "y", stroke: "condition", strokeWidth: 2, sort: "x" }),
          Plot.dot(panel.rows, { x: "x", y: "y", fill: "condition", r: 3.5, tip: true }),
        ],
      }),
    );
  }

  // Cost beside quality, one dot a condition. rows: {condition, x, y}
  function scatter(rows, conditions, name, xUnit, yUnit, width) {
    return charts.frame(width, {
      height: 320,
      marginLeft: 56,
      marginBottom: 42,
      marginRight: 110,
      ariaLabel: name,
      x: { label: `${xUnit} \u2192`, labelOffset: 38, grid: true, zero: true, nice: true, ticks: width < 500 ? 3 : 6 },
      y: { label: `\u2191 ${yUnit}`, grid: true, zero: true, nice: true, ticks: 5 },
      color: color(conditions),
      marks: [
        Plot.dot(rows, { x: "x", y: "y", fill: "condition", r: 6, tip: true }),
        Plot.text(rows, { x: "x", y: "y", text: "condition", textAnchor: "start", dx: 9, fill: "currentColor" }),
      ],
    });
  }

  return { differences, bars, lines, scatter, conditionColor };
})();
