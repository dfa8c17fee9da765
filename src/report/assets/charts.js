// SPDX-License-Identifier: MIT
// The charts of the report: each function takes data and a width and gives an SVG element drawn by Observable Plot.
"use strict";

const charts = (() => {
  const number = new Intl.NumberFormat("en");
  const kindOrder = [
    "bos",
    "instruction",
    "template",
    "frame",
    "message",
    "marker",
    "separator",
    "turn",
    "prompt",
    "generated",
  ];
  const kindNames = {
    bos: "begin-of-text tokens",
    instruction: "instruction",
    template: "chat template",
    frame: "around messages",
    message: "messages",
    marker: "turn markers",
    separator: "separators",
    turn: "turns",
    prompt: "prompts",
    generated: "generated",
  };
  const kindColor = (kind) => (kindOrder.includes(kind) ? `var(--kind-${kind})` : "var(--kind-other)");
  const clusterColor = (index) => `var(--cluster-${((index % 8) + 8) % 8})`;

  function seconds(ms) {
    if (ms < 10) return `${ms.toFixed(1)} ms`;
    if (ms < 999.5) return `${Math.round(ms)} ms`;
    const s = ms / 1000;
    if (s < 9.995) return `${s.toFixed(2)} s`;
    if (s < 119.95) return `${s.toFixed(1)} s`;
    return `${Math.floor(Math.round(s) / 60)} min ${Math.round(s) % 60} s`;
  }

  function bytes(value) {
    if (value < 1024) return `${value} bytes`;
    let unit = "";
    for (const next of ["KiB", "MiB", "GiB", "TiB"]) {
      if (value < 1024) break;
      value /= 1024;
      unit = next;
    }
    return `${value.toFixed(value < 9.995 ? 2 : value < 99.95 ? 1 : 0)} ${unit}`;
  }

  const shorten = (words, most) => (words.length > most ? `${words.slice(0, most - 1)}\u2026` : words);

  // Rows of a band scale, a little apart where the group changes. Each row: {key, group, name}.
  function bands(rows, width) {
    const most = width < 420 ? 18 : width < 700 ? 26 : 40;
    const domain = [];
    const labels = new Map();
    rows.forEach((row, i) => {
      const alone = (group) => rows.filter((other) => other.group === group).length === 1;
      const before = rows[i - 1];
      if (i > 0 && before.group !== row.group && !(alone(before.group) && alone(row.group))) domain.push(`gap ${i}`);
      domain.push(row.key);
      labels.set(row.key, shorten(row.name, most));
    });
    const longest = Math.max(0, ...[...labels.values()].map((label) => label.length));
    return { domain, labels, margin: Math.min(Math.round(width * 0.42), 18 + longest * 6.6) };
  }

  const bandAxis = (rows) => ({
    domain: rows.domain,
    label: null,
    tickFormat: (key) => rows.labels.get(key) ?? "",
    tickSize: 0,
    ticks: [...rows.labels.keys()],
    padding: 0.18,
  });

  const frame = (width, options) => {
    const style = { fontSize: "12px", background: "transparent", color: "var(--ink)" };
    const drawn = Plot.plot({ width, style, ...options });
    // Plot names its groups ("rule", "tick") for readers of screens, but what has no role can have no name.
    for (const group of drawn.querySelectorAll("g[aria-label]")) {
      group.dataset.mark = group.getAttribute("aria-label");
      group.removeAttribute("aria-label");
    }
    return drawn;
  };

  // What each partition's context is made of. rows: {key, group, name, tokens, bytes, origins: {kind: tokens}}
  function sizes(rows, width) {
    const band = bands(rows, width);
    const parts = rows.flatMap((row) =>
      kindOrder
        .concat(Object.keys(row.origins).filter((kind) => !kindOrder.includes(kind)))
        .filter((kind) => row.origins[kind] > 0)
        .map((kind) => ({ key: row.key, name: row.name, kind, tokens: row.origins[kind] })),
    );
    const kinds = [...new Set(parts.map((part) => part.kind))];
    return frame(width, {
      height: 58 + band.domain.length * 26,
      marginBottom: 42,
      marginLeft: band.margin,
      marginRight: width < 460 ? 54 : 130,
      ariaLabel: "Tokens in each partition's context, by where they came from",
      x: {
        label: "tokens \u2192",
        labelOffset: 38,
        grid: true,
        nice: true,
        tickFormat: (tokens) => number.format(tokens),
        ticks: width < 500 ? 3 : 6,
      },
      y: bandAxis(band),
      color: { type: "ordinal", domain: kinds, range: kinds.map(kindColor) },
      marks: [
        Plot.barX(
          parts,
          Plot.stackX({
            order: kinds,
            x: "tokens",
            y: "key",
            fill: "kind",
            stroke: "var(--card)",
            strokeWidth: 0.5,
            tip: { format: { y: false, stroke: false } },
            channels: { partition: { value: "name", label: "partition" } },
          }),
        ),
        Plot.text(rows, {
          x: "tokens",
          y: "key",
          textAnchor: "start",
          dx: 6,
          fill: "currentColor",
          text: (row) => number.format(row.tokens) + (width < 460 ? "" : `  \u00b7  ${bytes(row.bytes)}`),
        }),
        Plot.ruleX([0], { stroke: "var(--line)" }),
      ],
    });
  }

  // rows: {key, name, prefill, decode, wall} in milliseconds
  function times(rows, width) {
    const band = bands(
      rows.map((row) => ({ ...row, group: "" })),
      width,
    );
    const parts = rows.flatMap((row) =>
      ["prefill", "decode"].map((phase) => ({ key: row.key, phase, ms: row[phase], s: row[phase] / 1000 })),
    );
    return frame(width, {
      height: 58 + band.domain.length * 36,
      marginBottom: 42,
      marginLeft: band.margin,
      marginRight: 64,
      ariaLabel: "Time of each condition, prefill and decode",
      x: { label: "seconds \u2192", labelOffset: 38, grid: true, nice: true, zero: true, ticks: width < 560 ? 3 : 6 },
      y: bandAxis(band),
      color: { type: "ordinal", domain: ["prefill", "decode"], range: ["var(--prefill)", "var(--decode)"] },
      marks: [
        Plot.barX(
          parts,
          Plot.stackX({
            order: ["prefill", "decode"],
            x: "s",
            y: "key",
            fill: "phase",
            tip: { format: { x: (s) => seconds(s * 1000), y: false } },
          }),
        ),
        Plot.text(rows, {
          x: (row) => Math.max(row.prefill + row.decode, row.wall) / 1000,
          y: "key",
          text: (row) => seconds(row.wall),
          textAnchor: "start",
          dx: 6,
          fill: "currentColor",
        }),
        Plot.ruleX([0], { stroke: "var(--line)" }),
      ],
    });
  }

  // Which partition saw which turn. rows: {key, group, name, turns, messages: [{label, cluster, tokens}]};
  // turns: {id, cluster}, all of the scenario; clusters: [{id, label}].
  function map(rows, turns, clusters, width) {
    const band = bands(rows, width);
    const index = new Map(clusters.map((cluster, i) => [cluster.id, i]));
    const labelOf = (id) => clusters[index.get(id)]?.label ?? "?";
    const sent = [...new Set(rows.flatMap((row) => row.messages.map((message) => message.label)))];
    const columns = [
      ...sent.map((label) => `message ${label}`),
      ...(sent.length > 0 ? ["gap"] : []),
      ...turns.map((turn) => `turn ${turn.id}`),
    ];
    const cells = rows.flatMap((row) =>
      turns.map((turn) => ({
        key: row.key,
        name: row.name,
        column: `turn ${turn.id}`,
        turn: turn.id,
        cluster: turn.cluster,
        seen: row.turns.includes(turn.id),
      })),
    );
    const messages = rows.flatMap((row) =>
      row.messages.map((message) => ({ ...message, key: row.key, name: row.name, column: `message ${message.label}` })),
    );
    const seen = cells.filter((cell) => cell.seen);
    const step = (width - band.margin) / columns.length;
    const wide = step > 17;
    const labelled = (column, i) =>
      !column.startsWith("turn") || wide || (i - columns.indexOf(`turn ${turns[0].id}`)) % Math.ceil(20 / step) === 0;
    return frame(width, {
      height: 62 + band.domain.length * 26,
      marginLeft: band.margin,
      marginTop: 40,
      marginRight: 6,
      marginBottom: 8,
      ariaLabel: "Which partition saw which turn and which messages",
      x: {
        domain: columns,
        axis: "top",
        ticks: columns.filter(labelled),
        tickSize: 0,
        padding: 0.08,
        label: sent.length > 0 ? "messages received, then turns" : "turns",
        labelAnchor: "left",
        tickFormat: (column) => (column === "gap" ? "" : column.split(" ")[1]),
      },
      y: bandAxis(band),
      color: {
        type: "ordinal",
        domain: clusters.map((cluster) => cluster.id),
        range: clusters.map((_, i) => clusterColor(i)),
      },
      marks: [
        Plot.cell(cells, { x: "column", y: "key", fill: "var(--faint)", rx: 3 }),
        Plot.cell(seen, {
          x: "column",
          y: "key",
          fill: "cluster",
          rx: 3,
          tip: { format: { x: false, y: false } },
          channels: { turn: { value: "turn", label: "turn" }, partition: { value: "name", label: "partition" } },
        }),
        wide
          ? Plot.text(seen, {
              x: "column",
              y: "key",
              text: (cell) => labelOf(cell.cluster),
              fill: "var(--card)",
              fontWeight: 600,
            })
          : null,
        Plot.dot(messages, {
          x: "column",
          y: "key",
          symbol: "diamond2",
          r: Math.min(9, step * 0.6),
          fill: "cluster",
          tip: { format: { x: false, y: false } },
          channels: { message: { value: "label", label: "message" }, tokens: { value: "tokens", label: "tokens" } },
        }),
        Plot.text(messages, {
          x: "column",
          y: "key",
          text: "label",
          fill: "var(--card)",
          fontWeight: 700,
          pointerEvents: "none",
        }),
      ],
    });
  }

  // Foreign terms over runs. points: {label, condition, run, greedy, foreign}; means: {label, condition, mean}
  function foreign(points, means, labels, conditions, width) {
    const stacked = width < 560;
    const longest = Math.max(...conditions.map((condition) => condition.length));
    const most = Math.max(1, ...points.map((point) => point.foreign));
    // A row is as high as its highest pile of equal counts.
    const piles = d3.rollups(
      points,
      (pile) => pile.length,
      (point) => `${point.label}\n${point.condition}\n${point.foreign}`,
    );
    const row = Math.max(42, 14 + 11 * Math.max(...piles.map(([, size]) => size)));
    const draw = (label) =>
      frame(stacked ? width : Math.floor((width - 24 * (labels.length - 1)) / labels.length), {
        height: 66 + conditions.length * row,
        marginLeft: 20 + longest * 6.6,
        marginRight: 40,
        marginTop: 24,
        marginBottom: 42,
        ariaLabel: `Foreign terms in output ${label}, by condition`,
        x: {
          label: "foreign terms \u2192",
          labelOffset: 38,
          domain: [0, most],
          inset: 10,
          grid: true,
          ticks: Math.min(most, 5),
          tickFormat: "d",
        },
        fy: { domain: conditions, label: null, padding: 0.12 },
        marks: [
          Plot.frame({ stroke: null, fill: "var(--faint)", rx: 4 }),
          Plot.tickX(
            means.filter((mean) => mean.label === label),
            { x: "mean", fy: "condition", stroke: "currentColor", strokeWidth: 3, insetTop: 2, insetBottom: 2 },
          ),
          Plot.dot(
            points.filter((point) => point.label === label),
            Plot.dodgeY({
              x: "foreign",
              fy: "condition",
              anchor: "middle",
              r: 5,
              padding: 1,
              fill: (point) => (point.greedy ? "none" : "var(--foreign)"),
              fillOpacity: 0.75,
              stroke: "var(--foreign)",
              strokeWidth: 1.5,
              tip: { format: { fill: false, stroke: false, symbol: false, fy: false } },
              channels: { run: { value: "run", label: "run" } },
            }),
          ),
          Plot.text(
            means.filter((mean) => mean.label === label),
            {
              fy: "condition",
              text: (mean) => String(+mean.mean.toFixed(1)),
              frameAnchor: "right",
              dx: 34,
              fontWeight: 650,
              fill: "currentColor",
              textAnchor: "end",
            },
          ),
          Plot.text([`output ${label}`], {
            frameAnchor: "top-left",
            text: (words) => words,
            fy: () => conditions[0],
            dy: -18,
            fontWeight: 650,
            fill: "currentColor",
          }),
        ],
      });
    const box = document.createElement("div");
    box.style.display = "flex";
    box.style.flexWrap = "wrap";
    box.style.gap = "12px 24px";
    for (const label of labels) box.append(draw(label));
    return box;
  }

  return { frame, sizes, times, map, foreign, seconds, bytes, kindOrder, kindNames, kindColor, clusterColor, number };
})();
