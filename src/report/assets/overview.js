// SPDX-License-Identifier: MIT
// The parts of the page that take all runs of a scenario together: tiles, verdicts, foreign terms.
"use strict";

function groupScenarios() {
  const groups = d3.group(results.runs, (run) => `${run.scenario.id}\n${run.scenario.sha256}`);
  return [...groups.values()].map((runs) => {
    const scenario = runs[0].scenario;
    const conditions = [...new Map(runs.flatMap((run) => run.conditions).map((entry) => [entry.name, entry])).values()];
    return { scenario, runs, conditions };
  });
}

// Labels of outputs that can hold foreign terms at all: not those that receive every other topic.
function foreignLabels(scenario) {
  return scenario.clusters
    .filter((cluster) =>
      scenario.clusters.some(
        (other) => other.terminology.length > 0 && other.id !== cluster.id && !cluster.depends_on.includes(other.id),
      ),
    )
    .map((cluster) => cluster.label);
}

const conditionRuns = (group, name) =>
  group.runs.flatMap((run) =>
    run.conditions.filter((entry) => entry.name === name).map((condition) => ({ run, condition })),
  );

// Outputs whose terms cannot be counted are no points.
function foreignPoints(group) {
  const labels = foreignLabels(group.scenario);
  return group.runs.flatMap((run) =>
    run.conditions.flatMap((condition) =>
      condition.outputs
        .filter((output) => labels.includes(output.label) && output.foreign_terms !== null)
        .map((output) => ({
          label: output.label,
          condition: condition.title,
          run: runName(run),
          greedy: run.greedy,
          foreign: output.foreign_terms,
          own: output.own_terms,
        })),
    ),
  );
}

// Means over the sampled runs; over the greedy ones where there are no others.
function foreignMeans(points) {
  const means = [];
  for (const [label, byLabel] of d3.group(points, (point) => point.label)) {
    for (const [condition, all] of d3.group(byLabel, (point) => point.condition)) {
      const sampled = all.filter((point) => !point.greedy);
      const used = sampled.length > 0 ? sampled : all;
      means.push({
        label,
        condition,
        n: used.length,
        mean: d3.mean(used, (point) => point.foreign),
        own: d3.mean(used, (point) => point.own),
      });
    }
  }
  return means;
}

function tiles(group) {
  const isolated = group.conditions.filter((entry) =>
    conditionRuns(group, entry.name).every(({ condition }) => condition.isolation.achieved),
  );
  const means = foreignMeans(foreignPoints(group));
  // A sum without the outputs whose terms cannot be counted would be too good.
  const countable = (title) =>
    group.runs.every((run) =>
      run.conditions.every((entry) => entry.title !== title || entry.outputs.every((one) => one.foreign_terms !== null)),
    );
  const sum = (title) =>
    countable(title)
      ? oneDigit(
          d3.sum(
            means.filter((mean) => mean.condition === title),
            (mean) => mean.mean,
          ),
        )
      : "not countable";
  const best = isolated[0] ?? group.conditions[group.conditions.length - 1];
  const base = group.conditions.find((entry) => !isolated.includes(entry));
  const labels = foreignLabels(group.scenario);
  const tile = (kind, what, value, more) =>
    el(
      "div",
      { class: `tile ${kind}` },
      el("div", { class: "what" }, what),
      el("div", { class: "value" }, value),
      el("div", { class: "more" }, more),
    );
  const outputs = count(d3.sum(group.runs[0].conditions, (entry) => entry.outputs.length));
  const walls = group.runs.map((run) => run.wall_ms);
  const prefilled = group.runs[0].conditions.flatMap((entry) => entry.partitions);
  const list = [
    tile(
      isolated.length > 0 ? "good" : "bad",
      "Isolation achieved",
      isolated.length > 0 ? isolated.map((entry) => entry.title).join(", ") : "nowhere",
      `${isolated.length} of ${group.conditions.length} conditions, in ` +
        (group.runs.length === 1 ? "the one run" : `all ${group.runs.length} runs`),
    ),
  ];
  if (best !== undefined && labels.length > 0) {
    list.push(
      tile(
        "",
        `Foreign terms in ${labels.join(" + ")}, mean`,
        sum(best.title),
        base === undefined || base === best
          ? best.title
          : `${best.title}; ${base.title} has ${sum(base.title)}`,
      ),
    );
  }
  list.push(
    tile(
      "",
      group.runs.length === 1 ? "Wall time" : "Wall time of a run, median",
      charts.seconds(median(walls)),
      `${group.conditions.length} conditions, ${outputs} outputs`,
    ),
  );
  list.push(
    tile(
      "",
      "Tokens prefilled in a run",
      count(d3.sum(prefilled, (entry) => entry.prefilled_tokens)),
      `${count(d3.sum(prefilled, (entry) => entry.reused_tokens))} more taken over by forks`,
    ),
  );
  list.push(
    tile(
      "",
      "Peak memory",
      charts.bytes(results.memory.peak_rss_bytes),
      `${charts.bytes(results.memory.kv_bytes_allocated)} of it KV caches`,
    ),
  );
  return el("div", { class: "tiles" }, list);
}

function verdicts(group) {
  const shown = 3;
  const rows = group.conditions.map((entry) => {
    const all = conditionRuns(group, entry.name);
    const good = all.filter(({ condition }) => condition.isolation.achieved).length;
    const reasons = [...new Set(all.flatMap(({ condition }) => condition.isolation.reasons))];
    const items = (list) =>
      el(
        "ul",
        null,
        list.map((reason) => el("li", null, reason)),
      );
    const words =
      good === all.length ? "\u2713 yes" : good === 0 ? "\u2717 no" : `\u2717 in ${good} of ${all.length} runs`;
    return [
      entry.title,
      entry.separates,
      el("span", { class: `verdict ${good === all.length ? "yes" : "no"}` }, words),
      reasons.length === 0
        ? "every token traced to its own turns, its messages or the experiment's own text"
        : el(
            "div",
            null,
            items(reasons.slice(0, shown)),
            reasons.length <= shown
              ? null
              : el("details", null, el("summary", null, `${reasons.length - shown} more`), items(reasons.slice(shown))),
          ),
    ];
  });
  return el(
    "section",
    { class: "card" },
    el("h2", null, "Isolation achieved?"),
    el(
      "p",
      { class: "note" },
      "Computed, not claimed: each token of each cache is traced to its origin, and the ledger is compared " +
        "with what the engine says it holds.",
    ),
    table("Verdict per condition", ["Condition", "What separates topics", "Achieved", "Why"], rows, {
      long: [3],
      stack: true,
    }),
  );
}

function foreignSection(group) {
  const labels = foreignLabels(group.scenario);
  const points = foreignPoints(group);
  if (labels.length === 0 || points.length === 0) return null;
  const means = foreignMeans(points);
  const titles = group.conditions.map((entry) => entry.title);
  const greedy = points.some((point) => point.greedy);
  const entries = [{ color: "var(--foreign)", words: "a sampled run", shape: "round" }];
  if (greedy) entries.push({ color: "var(--foreign)", words: "the greedy run", shape: "ring" });
  entries.push({ color: "currentColor", words: "mean of the sampled runs, also in figures", shape: "tick" });
  return figure(
    "Foreign terms in the outputs",
    "How often an output uses the terminology of a topic that is not its own and that " +
      "sent it no message. Fewer is better; each dot is one run.",
    (width) => charts.foreign(points, means, labels, titles, width),
    entries,
    table(
      "Foreign and own terms, mean per output",
      ["Condition", "Output", "Runs", "Foreign, mean", "Own, mean", "Foreign, each run"],
      titles.flatMap((title) =>
        labels.flatMap((label) =>
          means
            .filter((mean) => mean.condition === title && mean.label === label)
            .map((mean) => [
              title,
              label,
              mean.n,
              oneDigit(mean.mean),
              oneDigit(mean.own),
              points
                .filter((point) => point.condition === title && point.label === label)
                .map((point) => `${point.run}: ${point.foreign}`)
                .join(", "),
            ]),
        ),
      ),
      { right: [3, 4] },
    ),
  );
}
