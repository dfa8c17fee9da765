// SPDX-License-Identifier: MIT
// Fills the page from the results document: the parts that show one run, the facts, and the choice of scenario and run.
"use strict";

const shortName = (condition, partition) => {
  const name = partition.name.startsWith(`${condition.name}/`)
    ? partition.name.slice(condition.name.length + 1)
    : partition.name;
  return `${condition.title} \u00b7 ${name}`;
};

function partitionRows(run) {
  return run.conditions.flatMap((condition) =>
    condition.partitions.map((partition) => ({
      key: partition.name,
      group: condition.name,
      name: shortName(condition, partition),
      tokens: partition.context_tokens,
      bytes: partition.kv_bytes_used,
      origins: partition.origins,
      turns: partition.turns,
      partition,
      messages: partition.messages.map((message) => ({
        ...message,
        cluster: run.scenario.clusters.find((cluster) => cluster.label === message.label)?.id,
      })),
    })),
  );
}

function sizesFigure(run) {
  const rows = partitionRows(run);
  const used = new Set(rows.flatMap((row) => Object.keys(row.origins).filter((kind) => row.origins[kind] > 0)));
  const kinds = [
    ...charts.kindOrder.filter((kind) => used.has(kind)),
    ...[...used].filter((kind) => !charts.kindOrder.includes(kind)),
  ];
  return figure(
    "What each cache holds",
    "Tokens of each partition's context, by where they came from; behind the bar, the bytes its " + "KV cache uses.",
    (width) => charts.sizes(rows, width),
    kinds.map((kind) => ({ color: charts.kindColor(kind), words: charts.kindNames[kind] ?? kind })),
    table(
      "Tokens by origin",
      ["Partition", "Context", ...kinds.map((kind) => charts.kindNames[kind] ?? kind)],
      rows.map((row) => [row.name, row.tokens, ...kinds.map((kind) => row.origins[kind] ?? 0)]),
    ),
  );
}

function timesFigure(run) {
  const rows = run.conditions.map((entry) => ({
    key: entry.name,
    name: entry.title,
    prefill: entry.prefill_ms,
    decode: entry.decode_ms,
    wall: entry.wall_ms,
  }));
  return figure(
    "Where the time went",
    `Prefill computes a context once; decode writes the outputs, many at a time. A batch shared by ` +
      `conditions is divided among them by tokens. The whole run took ${charts.seconds(run.wall_ms)}.`,
    (width) => charts.times(rows, width),
    [
      { color: "var(--prefill)", words: "prefill" },
      { color: "var(--decode)", words: "decode" },
    ],
    table(
      "Times",
      ["Condition", "Prefill", "Decode", "Wall"],
      rows.map((row) => [row.name, charts.seconds(row.prefill), charts.seconds(row.decode), charts.seconds(row.wall)]),
      { right: [1, 2, 3] },
    ),
  );
}

function mapFigure(run) {
  const rows = partitionRows(run);
  const { turns, clusters } = run.scenario;
  const entries = clusters.map((cluster, i) => ({
    color: charts.clusterColor(i),
    words: `${cluster.label}: ${cluster.topic || cluster.id}`,
  }));
  if (rows.some((row) => row.messages.length > 0))
    entries.push({ color: "currentColor", words: "a message: another partition's output", shape: "hollow" });
  return figure(
    "Which partition saw which turn",
    "One row per cache, one column per turn. More than one colour of turns in a row means that " +
      "topics share a cache.",
    (width) => charts.map(rows, turns, clusters, width),
    entries,
    table(
      "Turns and messages per partition",
      ["Partition", "Turns", "Messages"],
      rows.map((row) => [
        row.name,
        row.turns.join(", "),
        row.messages
          .map((message) => `${message.label} from ${message.from} (${count(message.tokens)} tokens)`)
          .join(", ") || "none",
      ]),
      { long: [1] },
    ),
  );
}

function outputText(output, scenario) {
  if (output.segments.length === 0) return el("span", { class: "empty" }, "nothing was written");
  return output.segments.map(([text, mark, owner]) => {
    if (mark === undefined) return text;
    if (mark === "own") return el("span", { class: "own" }, text);
    const index = scenario.clusters.findIndex((cluster) => cluster.id === owner);
    const cluster = scenario.clusters[index];
    return el(
      "mark",
      { title: `a term of ${cluster?.label ?? ""} ${cluster?.topic || owner}`, "--c": charts.clusterColor(index) },
      text,
    );
  });
}

function outputCard(condition, output, scenario) {
  const counts = (words, value, hot) =>
    el("span", { class: hot ? "hot" : null }, el("b", null, termCount(value)), ` ${words}`);
  return el(
    "article",
    { class: `output ${condition.isolation.achieved ? "isolated" : ""}` },
    el(
      "header",
      null,
      el("h3", null, condition.title),
      el(
        "div",
        { class: "counts" },
        counts("foreign terms", output.foreign_terms, output.foreign_terms > 0),
        counts("own terms", output.own_terms),
        output.terms_obstacle ? el("span", { class: "hot" }, output.terms_obstacle) : null,
        counts("tokens", output.tokens),
        el("span", null, `ended by ${output.finish}`),
        el("span", null, `first token after ${charts.seconds(output.ttft_ms)}`),
      ),
      el("div", { class: "prompt", dir: "auto", title: "the prompt" }, output.prompt),
    ),
    el(
      "div",
      { class: "text", dir: "auto", tabindex: "0", "aria-label": `Output ${output.label}, ${condition.title}` },
      outputText(output, scenario),
    ),
  );
}

function outputsSection(run) {
  const { scenario } = run;
  return el(
    "section",
    null,
    el("h2", null, "Outputs side by side"),
    el(
      "p",
      { class: "note" },
      el("mark", { "--c": "var(--foreign)" }, "Marked"),
      " is terminology of a topic the output should not know, in that topic's " + "colour; ",
      el("span", { class: "own" }, "dotted"),
      " is terminology of its own.",
    ),
    scenario.clusters.map((cluster, i) => {
      const cards = run.conditions.flatMap((condition) =>
        condition.outputs
          .filter((output) => output.label === cluster.label)
          .map((output) => outputCard(condition, output, scenario)),
      );
      return cards.length === 0
        ? null
        : el(
            "div",
            { class: "group" },
            el(
              "h3",
              null,
              el("span", { class: "label", "--c": charts.clusterColor(i) }, cluster.label),
              cluster.topic || cluster.id,
            ),
            cluster.expected_output === ""
              ? null
              : el(
                  "details",
                  null,
                  el("summary", null, "What was expected"),
                  el("p", { class: "note", dir: "auto" }, cluster.expected_output),
                ),
            el("div", { class: "outputs" }, cards),
          );
    }),
  );
}

function ledgerSection(run) {
  const rows = partitionRows(run).map(({ name, partition }) => [
    name,
    partition.context_tokens,
    partition.shared_prefix_tokens,
    partition.prefilled_tokens,
    partition.reused_tokens,
    partition.generated_tokens,
    charts.bytes(partition.kv_bytes_used),
    charts.bytes(partition.kv_bytes_allocated),
    charts.seconds(partition.prefill_ms),
    shortHash(partition.token_sha256),
  ]);
  const outputs = run.conditions.flatMap((condition) =>
    condition.outputs.map((output) => [
      `${condition.title} \u00b7 ${output.label}`,
      output.tokens,
      charts.seconds(output.ttft_ms),
      output.itl_ms.median === null ? "\u2013" : charts.seconds(output.itl_ms.median),
      output.itl_ms.p95 === null ? "\u2013" : charts.seconds(output.itl_ms.p95),
      charts.seconds(output.prefill_ms),
      charts.seconds(output.decode_ms),
      termCount(output.own_terms),
      termCount(output.foreign_terms),
    ]),
  );
  const turns = run.scenario.turns.map((turn) => [
    String(turn.id),
    turn.cluster,
    turn.role,
    el("div", { class: "turn-text", dir: "auto" }, turn.text),
  ]);
  return el(
    "section",
    { class: "card" },
    el("h2", null, "Ledger"),
    table(
      "Partitions",
      [
        "Partition",
        "Context tokens",
        "Shared prefix",
        "Prefilled",
        "Reused",
        "Generated",
        "KV used",
        "KV allocated",
        "Prefill",
        "SHA-256 of tokens",
      ],
      rows,
      { right: [6, 7, 8] },
    ),
    el(
      "details",
      null,
      el("summary", null, "Times of every output"),
      table(
        "Outputs",
        [
          "Output",
          "Tokens",
          "First token",
          "Between tokens",
          "95 % within",
          "Prefill",
          "Decode",
          "Own terms",
          "Foreign terms",
        ],
        outputs,
        { right: [2, 3, 4, 5, 6] },
      ),
    ),
    el(
      "details",
      null,
      el("summary", null, `The conversation: ${turns.length} turns`),
      table("Turns", ["Turn", "Cluster", "Role", "Text"], turns),
    ),
  );
}

function differencesSection() {
  if (results.count_differences.length === 0) return null;
  return el(
    "section",
    { class: "card" },
    el("h2", null, "Why token counts differ between formats"),
    el(
      "p",
      { class: "note" },
      `The same conversation in the format ${results.settings.format} and in others, and what makes up the difference.`,
    ),
    results.count_differences.map((entry) => {
      const whole = entry.this_tokens - entry.other_tokens;
      const rest = whole - d3.sum(entry.parts, (part) => part.tokens);
      const rows = [
        [`in ${entry.other_format}`, entry.other_tokens],
        ...entry.parts.map((part) => [part.reason, signed(part.tokens)]),
      ];
      if (rest !== 0) rows.push(["not explained", signed(rest)]);
      rows.push([`in ${results.settings.format}`, entry.this_tokens]);
      return el(
        "div",
        { class: "sum" },
        el("h3", null, entry.condition),
        table(
          `${count(entry.this_tokens)} against ${count(entry.other_tokens)}: ${signed(whole)}`,
          ["Because of", "Tokens"],
          rows,
          { right: [1] },
        ),
      );
    }),
  );
}

function factsSection(group) {
  const { model, engine, settings, machine, bulkhead, memory } = results;
  const { sampling } = settings;
  const { scenario } = group;
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
        ["SHA-256", el("span", { class: "hash" }, model.sha256)],
        ["architecture", model.architecture],
        ["size", charts.bytes(model.bytes)],
        ["context", `${count(model.context_tokens)} tokens`],
        ["sliding window", model.window_tokens === 0 ? "none" : `${count(model.window_tokens)} tokens`],
      ]),
      factCard("Engine", [
        ["engine", `${engine.name} ${engine.build}`],
        ["isolation grade", engine.grade],
        ["kernels", engine.kernels],
        ["threads", count(engine.threads)],
        ["KV types", `${engine.kv_type_k}, ${engine.kv_type_v}`],
        ["KV per token", charts.bytes(engine.kv_bytes_per_token)],
        ["flash attention", engine.flash_attention ? "on" : "off"],
        ["KV allocated", charts.bytes(memory.kv_bytes_allocated)],
        ["peak memory", charts.bytes(memory.peak_rss_bytes)],
      ]),
      factCard("Settings", [
        ["format", settings.format],
        ["its SHA-256", el("span", { class: "hash" }, settings.format_sha256)],
        ["prompts", settings.prompt_set ?? "each condition's own"],
        ["seed", String(settings.seed)],
        ["temperature", String(sampling.temperature)],
        ["top-k", String(sampling.top_k)],
        ["top-p", String(sampling.top_p)],
        ["min-p", String(sampling.min_p)],
        ["repeat penalty", String(sampling.repeat_penalty)],
        ["conditions", settings.conditions.join(", ")],
      ]),
      factCard("Scenario", [
        ["id", scenario.id],
        ["domain", scenario.domain],
        ["file", scenario.file],
        ["SHA-256", el("span", { class: "hash" }, scenario.sha256)],
        ["turns", count(scenario.turns.length)],
        ["clusters", scenario.clusters.map((cluster) => `${cluster.label} ${cluster.id}`).join(", ")],
        ["runs", group.runs.map(runName).join(", ")],
      ]),
      factCard("Machine", [
        ["processor", machine.cpu],
        ["cores", count(machine.cores)],
        ["memory", charts.bytes(machine.memory_bytes)],
        ["system", machine.os],
        ["bulkhead", bulkhead.version],
        ["commit", bulkhead.commit],
      ]),
    ),
  );
}

function picker(words, names, chosen, choose) {
  if (names.length < 2) return null;
  const select = el(
    "select",
    null,
    names.map((name, i) => el("option", { value: i, selected: i === chosen }, name)),
  );
  select.addEventListener("change", () => choose(Number(select.value)));
  return el("label", null, `${words} `, select);
}

const groups = groupScenarios();
const chosen = { group: 0, run: 0 };

function show() {
  const group = groups[chosen.group];
  drawn.length = 0;
  const parts = [];
  if (!results.complete)
    parts.push(el("p", { class: "banner" }, `Incomplete: ${results.incomplete_reason ?? "no reason was given"}`));
  if (group === undefined) {
    parts.push(el("p", { class: "banner" }, "There are no runs in these results."));
  } else {
    const run = group.runs[chosen.run];
    if (groups.length > 1) {
      parts.push(
        el(
          "div",
          { class: "bar sticky" },
          picker(
            "Scenario",
            groups.map((entry) => entry.scenario.id),
            chosen.group,
            (i) => {
              Object.assign(chosen, { group: i, run: 0 });
              show();
            },
          ),
        ),
      );
    }
    parts.push(
      tiles(group),
      verdicts(group),
      foreignSection(group),
      el(
        "section",
        null,
        el(
          "div",
          { class: "bar" },
          el("h2", null, "One run in detail"),
          picker("Run", group.runs.map(runName), chosen.run, (i) => {
            chosen.run = i;
            show();
          }),
          group.runs.length < 2 ? el("span", { class: "note" }, runName(run)) : null,
        ),
        mapFigure(run),
        el("div", { class: "pair" }, sizesFigure(run), timesFigure(run)),
      ),
      outputsSection(run),
      ledgerSection(run),
      differencesSection(),
      factsSection(group),
    );
  }
  parts.push(
    el(
      "footer",
      null,
      `Drawn by Bulkhead ${results.bulkhead.version} from results.json. Charts: Observable Plot and D3.`,
    ),
  );
  page.replaceChildren(...page.querySelectorAll("[data-fault]"), ...parts.filter((part) => part !== null));
  drawCharts();
}

document.getElementById("subtitle").textContent =
  `${results.model.name} \u00b7 format ${results.settings.format} \u00b7 ` +
  `${results.runs.length} ${results.runs.length === 1 ? "run" : "runs"}`;
show();
// Not within the observation: drawing changes the size that is observed, which browsers call a fault.
new ResizeObserver(() => requestAnimationFrame(drawCharts)).observe(page);
page.dataset.ready = "";
