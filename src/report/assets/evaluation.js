// SPDX-License-Identifier: MIT
// Fills the page from an evaluation's summary: verdicts, endpoints, differences, cuts, costs, facts.
"use strict";

const { conditions, analysis, made } = results;
const names = conditions.map((condition) => condition.name);
const others = names.filter((name) => name !== "semantic");
const none = "\u2013";

// A number for people that keeps the document's own beside it.
const datum = (value, words) => (value === null ? none : el("data", { value: String(value) }, words));
const wordsOf = (endpoint) => results.words[endpoint] ?? { title: endpoint, about: endpoint, share: false, unit: endpoint };
const minus = (words) => words.replace("-", "\u2212");
const valueOf = (endpoint, value) =>
  value === null
    ? none
    : datum(value, wordsOf(endpoint).share ? `${(100 * value).toFixed(1)} %` : value.toFixed(4));
const plus = (value, words) => (value > 0 ? `+${words}` : minus(words));
const differenceOf = (endpoint, value) =>
  datum(value, plus(value, wordsOf(endpoint).share ? (100 * value).toFixed(1) : value.toFixed(4)));
const probability = (p) => datum(p, p === null || p === undefined ? none : p < 0.001 ? p.toExponential(0) : p.toFixed(3));
const scaled = (endpoint, value) => (value === null ? null : wordsOf(endpoint).share ? 100 * value : value);
const interval = (endpoint, bounds) =>
  bounds === null ? none : [differenceOf(endpoint, bounds[0]), " to ", differenceOf(endpoint, bounds[1])];

function section(title, note, ...parts) {
  return el("section", { class: "card" }, el("h2", null, title), el("p", { class: "note" }, note), parts);
}

function verdictSection() {
  const { plan } = analysis;
  const fixed = plan.sha256 !== "";
  const mark = (outcome) => {
    if (outcome === "holds") return el("span", { class: "verdict yes" }, "\u2713 holds");
    if (outcome === "fails") return el("span", { class: "verdict no" }, "\u2717 not shown");
    return el("span", { class: "verdict" }, outcome);
  };
  return section(
    "What was fixed beforehand, and what came out",
    fixed
      ? `Hypotheses in this order, each tested only if all before it held; alpha ${plan.alpha}. ` +
          `${count(plan.resamples)} bootstrap resamples of conversations, ${count(plan.draws)} permutations.`
      : "Nothing was fixed beforehand.",
    fixed
      ? table(
          "Verdicts",
          ["Fixed beforehand", "Outcome", "What came out"],
          results.verdicts.map((verdict) => [verdict.claim, mark(verdict.outcome), verdict.sentence]),
          { long: [2], stack: true },
        )
      : null,
    fixed ? el("p", { class: "note" }, "Analysis: SHA-256 ", el("span", { class: "hash" }, plan.sha256)) : null,
  );
}

function endpointSection() {
  const endpoints = Object.keys(results.words);
  return section(
    "Conditions and endpoints",
    "Means over the items of each condition, and how many there are. Fewer intrusions, a lower NLL, less repetition and " +
      "less that is foreign are better; a length is neither; of the others more is better.",
    table(
      "Endpoints by condition",
      ["Condition", "What separates topics", ...endpoints.map((name) => wordsOf(name).title)],
      conditions.map((condition) => [
        condition.name,
        condition.separates,
        ...endpoints.map((name) => {
          const { mean, items } = condition.endpoints[name] ?? { mean: null, items: 0 };
          return mean === null ? none : el("span", null, valueOf(name, mean), el("small", null, ` of ${count(items)}`));
        }),
      ]),
      { right: endpoints.map((_, i) => i + 2) },
    ),
    el(
      "ul",
      { class: "note" },
      endpoints.map((name) => el("li", null, `${wordsOf(name).title}: ${wordsOf(name).about}`)),
    ),
  );
}

// Whether the conditions differ at all; older summaries do not say.
function rankSection() {
  const tests = analysis.friedman ?? [];
  if (tests.length === 0) return null;
  return section(
    "Do the conditions differ at all?",
    "Friedman's test on the means of conversations, over the items that all conditions have. Rank 1 is the lowest " +
      "value. Not corrected for there being several endpoints.",
    table(
      "Friedman's test",
      ["Endpoint", "Conversations", "Chi-squared", "Degrees of freedom", "p", "Mean ranks"],
      tests.map((one) => [
        wordsOf(one.endpoint).title,
        one.conversations,
        datum(one.statistic, one.statistic.toFixed(2)),
        one.degrees_of_freedom,
        probability(one.p),
        one.conditions.map((name, i) => `${name} ${one.mean_ranks[i].toFixed(2)}`).join(", "),
      ]),
      { right: [1, 2, 3, 4], long: [5] },
    ),
  );
}

const boundsOf = (endpoint, bounds) => ({
  low: bounds === null ? null : scaled(endpoint, bounds[0]),
  high: bounds === null ? null : scaled(endpoint, bounds[1]),
});

function differenceFigure() {
  const list = d3.groups(analysis.comparisons, (one) => one.endpoint).map(([endpoint, all]) => ({
    title: wordsOf(endpoint).title,
    name: wordsOf(endpoint).title,
    unit: wordsOf(endpoint).unit,
    rows: all.map((one) => ({
      condition: one.condition,
      series: "all",
      difference: scaled(endpoint, one.difference),
      ...boundsOf(endpoint, one.statistics?.interval ?? null),
    })),
  }));
  if (list.length === 0) return null;
  return figure(
    "Differences to semantic",
    "Condition minus semantic over the items that both have, with the interval that a bootstrap of conversations " +
      "gives. An interval that reaches zero leaves the direction open; a hollow dot has no interval.",
    (width) =>
      evaluationCharts.differences(list, others, [{ name: "all", color: "var(--accent)" }], "points", false, width),
    null,
    table(
      "Differences to semantic",
      ["Endpoint", "Condition", "Semantic", "Difference", "Interval", "p", "p (Holm)", "d_z", "Above, equal, below"],
      analysis.comparisons.map((one) => {
        const { statistics, endpoint } = one;
        return [
          wordsOf(endpoint).title,
          one.condition,
          valueOf(endpoint, one.mean_against),
          differenceOf(endpoint, one.difference),
          interval(endpoint, statistics?.interval ?? null),
          probability(statistics?.p ?? null),
          probability(statistics?.p_holm ?? null),
          statistics === null || statistics.d_z === null ? none : statistics.d_z.toFixed(2),
          statistics === null
            ? none
            : `${statistics.conversations_above}, ${statistics.conversations_equal}, ${statistics.conversations_below}`,
        ];
      }),
      { right: [2, 3, 4, 5, 6, 7, 8] },
    ),
  );
}

const facetSeries = [
  { name: "intrusions", color: "var(--foreign)" },
  { name: "accuracy", color: "var(--accent)" },
];

// One cut of the data: a panel for each group, intrusions and accuracy in it.
function facetFigure(facet, title, note) {
  const all = analysis.facets.filter((one) => one.facet === facet);
  if (all.length === 0) return null;
  const list = d3.groups(all, (one) => one.group).map(([group, rows]) => ({
    title: group,
    name: `${facet} ${group}`,
    rows: rows.map((one) => ({
      condition: one.condition,
      series: one.endpoint,
      difference: scaled(one.endpoint, one.difference),
      ...boundsOf(one.endpoint, one.interval),
    })),
  }));
  return figure(
    title,
    `${note} Condition minus semantic, in points. Nobody fixed these beforehand, and none is corrected for being one ` +
      "of many: they describe.",
    (width) => evaluationCharts.differences(list, others, facetSeries, "points", true, width),
    facetSeries.map((one) => ({ color: one.color, words: wordsOf(one.name).title, shape: "round" })),
    table(
      title,
      [facet, "Condition", "Endpoint", "Conversations", "Items", "Condition", "Semantic", "Difference", "Interval"],
      all.map((one) => [
        one.group,
        one.condition,
        wordsOf(one.endpoint).title,
        one.conversations,
        one.items,
        valueOf(one.endpoint, one.mean),
        valueOf(one.endpoint, one.mean_against),
        differenceOf(one.endpoint, one.difference),
        interval(one.endpoint, one.interval),
      ]),
      { right: [5, 6, 7, 8] },
    ),
  );
}

function nllFigure() {
  const rows = conditions
    .filter((condition) => condition.reference.nll_per_token !== null)
    .map((condition) => ({ condition: condition.name, value: condition.reference.nll_per_token, all: condition }));
  if (rows.length === 0) return null;
  return figure(
    "Likelihood of the reference texts",
    "Negative log-likelihood of all tokens of all reference texts; lower is likelier. Read it with filler and " +
      "regrouped: length and turns of one form move it too.",
    (width) => evaluationCharts.bars(rows, "NLL of references by condition", "nats per token", width),
    null,
    table(
      "NLL of references",
      ["Condition", "Texts", "Tokens", "Nats per token"],
      rows.map(({ condition, value, all }) => [
        condition,
        all.reference.texts,
        all.reference.tokens,
        datum(value, value.toFixed(4)),
      ]),
      { right: [3] },
    ),
  );
}

// What one condition comes to in one group, each a number or null.
const clusterMeasures = [
  { title: "Intrusions", unit: "%", value: (one) => scaled("intrusions", one.primary.intrusion_rate) },
  { title: "Accuracy", unit: "%", value: (one) => scaled("accuracy", one.primary.accuracy) },
  { title: "NLL of references", unit: "nats per token", value: (one) => one.reference.nll_per_token },
  {
    title: "Context tokens prefilled",
    unit: "tokens per conversation",
    value: (one) => one.context_tokens / one.conversations,
  },
  { title: "Time of an item", unit: "ms, without its context", value: (one) => (1000 * one.item_seconds) / one.cells },
];

const legendOfConditions = () =>
  names.map((name, i) => ({ color: evaluationCharts.conditionColor(i), words: name, shape: "round" }));

function clusterFigure() {
  const all = conditions.flatMap((condition) =>
    condition.facets.filter((one) => one.facet === "clusters").map((one) => ({ condition: condition.name, one })),
  );
  if (all.length === 0) return null;
  const list = clusterMeasures
    .map(({ title, unit, value }) => ({
      title,
      name: title,
      unit,
      rows: all
        .map(({ condition, one }) => ({ condition, x: Number(one.group), y: value(one) }))
        .filter((row) => row.y !== null),
    }))
    .filter((panel) => panel.rows.length > 0);
  return figure(
    "Quality and cost by number of clusters",
    "The more topics a conversation has, the more there is to mix up, and the more a context without walls carries.",
    (width) => evaluationCharts.lines(list, names, "clusters", width),
    legendOfConditions(),
    table(
      "By number of clusters",
      [
        "Clusters",
        "Condition",
        "Conversations",
        "Intrusions",
        "Accuracy",
        "NLL",
        "Context tokens",
        "Item tokens",
        "Item seconds",
      ],
      all.map(({ condition, one }) => [
        one.group,
        condition,
        one.conversations,
        valueOf("intrusions", one.primary.intrusion_rate),
        valueOf("accuracy", one.primary.accuracy),
        valueOf("nll", one.reference.nll_per_token),
        one.context_tokens,
        one.item_tokens,
        datum(one.item_seconds, one.item_seconds.toFixed(2)),
      ]),
      { right: [3, 4, 5, 8] },
    ),
  );
}

function costFigure() {
  const rows = conditions
    .filter((condition) => condition.primary.intrusion_rate !== null)
    .map((condition) => ({
      condition: condition.name,
      x: condition.context_tokens / condition.conversations,
      y: 100 * condition.primary.intrusion_rate,
    }));
  if (rows.length === 0) return null;
  return figure(
    "Cost beside quality",
    "Context tokens prefilled for a conversation, each context once, against the share of intrusions. Below and to the " +
      "left is better. Times of items leave out the prefill of their context.",
    (width) =>
      evaluationCharts.scatter(
        rows,
        names,
        "Intrusions against context tokens",
        "context tokens per conversation",
        "intrusions, %",
        width,
      ),
    legendOfConditions(),
    table(
      "What each condition cost",
      ["Condition", "Conversations", "Cells", "Contexts", "Context tokens", "Item tokens", "Item seconds"],
      conditions.map((condition) => [
        condition.name,
        condition.conversations,
        condition.cells,
        condition.contexts,
        condition.context_tokens,
        condition.item_tokens,
        datum(condition.item_seconds, condition.item_seconds.toFixed(1)),
      ]),
      { right: [6] },
    ),
  );
}

function factsOfEvaluation() {
  const { configuration } = results;
  const hash = (value) => el("span", { class: "hash" }, value);
  const { model, engine, machine, dataset, bulkhead } = made;
  return el(
    "section",
    null,
    el("h2", null, "Facts"),
    el(
      "div",
      { class: "facts" },
      factCard("Model", [
        ["name", model.name],
        ["file", model.path],
        ["SHA-256", hash(model.sha256)],
        ["size", charts.bytes(model.bytes)],
      ]),
      factCard("Engine", [
        ["engine", `${engine.name} ${engine.build}`],
        ["isolation grade", engine.grade],
        ["kernels", engine.kernels],
        ["threads", count(engine.threads)],
        ["KV types", `${engine.kv_type_k}, ${engine.kv_type_v}`],
      ]),
      factCard("Data", [
        ["file", dataset.file],
        ["SHA-256", hash(dataset.sha256)],
        ["conversations", count(dataset.conversations)],
        ...(dataset.left_out > 0 ? [["without anything to ask, left out", count(dataset.left_out)]] : []),
        ["format", configuration.format],
        ["seed of conditions that draw", String(configuration.seed)],
      ]),
      factCard("Machine", [
        ["processor", machine.cpu],
        ["cores", count(machine.cores)],
        ["memory", charts.bytes(machine.memory_bytes)],
        ["peak memory", charts.bytes(made.peak_rss_bytes)],
        ["system", machine.os],
        ["bulkhead", `${bulkhead.version}, commit ${bulkhead.commit}`],
        ["command", made.command.join(" ")],
      ]),
    ),
  );
}

document.getElementById("subtitle").textContent =
  `${made.model.name} \u00b7 ${made.dataset.file} \u00b7 ${count(results.cells)} cells`;
page.replaceChildren(
  ...page.querySelectorAll("[data-fault]"),
  ...results.reservations.map((words) => el("p", { class: "banner" }, words)),
  ...[
    verdictSection(),
    endpointSection(),
    rankSection(),
    differenceFigure(),
    facetFigure("domain", "By domain", "What the conversations are about."),
    facetFigure("difficulty", "By difficulty", "1: the topic is named in every turn; 3: once, then known by words only."),
    facetFigure("kind", "By kind of question", "Here each kind counts alone, those that need messages too."),
    facetFigure(
      "place",
      "By place of the topic",
      "Where the asked topic stands among the conversation's topics: the order in which regrouped shows them.",
    ),
    facetFigure(
      "distance",
      "By distance of the fact",
      "Turns of all topics after the one that stated the fact, as sequential shows them; a group is named by its fewest.",
    ),
    nllFigure(),
    clusterFigure(),
    costFigure(),
    factsOfEvaluation(),
    el(
      "footer",
      null,
      `Drawn by Bulkhead from summary.json (${made.bulkhead.version}). Charts: Observable Plot and D3.`,
    ),
  ].filter((part) => part !== null),
);
drawCharts();
// Not within the observation: drawing changes the size that is observed, which browsers call a fault.
new ResizeObserver(() => requestAnimationFrame(drawCharts)).observe(page);
page.dataset.ready = "";
