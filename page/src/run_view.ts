// The view of runs: a scenario under the conditions, its outputs as they come, and the report.
import example from "../../scenarios/market_hall.json";
import * as api from "./api";
import { button, h, labelled, say, show } from "./dom";
import { plural, seconds } from "./numbers";
import { reportFrame, saveButton } from "./report";

interface Condition {
  name: string;
  title: string;
  separates: string;
}

interface ClusterOf {
  id: string;
  label: string;
  topic: string;
}

type RunEvent =
  | { type: "run.started"; conditions: Condition[]; clusters: ClusterOf[] }
  | { type: "progress"; what: string; done: number; total: number }
  | { type: "text"; condition: string; cluster: string; text: string }
  | { type: "output"; condition: string; cluster: string; text: string; tokens: number; seconds: number }
  | { type: "condition.finished"; condition: string }
  | { type: "run.finished"; results: unknown; report: string }
  | { type: "error"; error: { message: string } };

const kConditions: [string, string][] = [
  ["sequential", "Sequential"],
  ["prompted", "Prompted"],
  ["turn_based", "Turn-based"],
  ["semantic", "Semantic"],
];

interface Cell {
  text: HTMLElement;
  note: HTMLElement;
}

export class RunView {
  private readonly scenario = h("textarea", { rows: 14, spellcheck: false, class: "code" });
  private readonly file = h("input", { type: "file", accept: "application/json,.json" });
  private readonly conditions = kConditions.map(([name, title]) => ({
    name,
    title,
    box: h("input", { type: "checkbox", checked: true }),
  }));
  private readonly maxTokens = h("input", { type: "number", min: 1, max: 8192, value: 48 });
  private readonly seed = h("input", { type: "number", min: 0, max: 4294967295, value: 42 });
  private readonly start = h("button", { type: "submit", class: "main" }, "Run");
  private readonly stop = button("Stop", () => this.running?.abort(), { hidden: true });
  private readonly failure = h("p", { class: "failure", role: "alert", hidden: true });
  private readonly bar = h("progress", { max: 1, value: 0, "aria-label": "Progress of the run" });
  private readonly doing = h("p", { class: "soft" });
  private readonly outputs = h("div");
  private readonly report = h("div");
  private readonly cells = new Map<string, Cell>();
  private readonly heads = new Map<string, HTMLElement>();
  private running: AbortController | null = null;

  constructor(host: HTMLElement) {
    this.scenario.value = JSON.stringify(example, null, 1);
    this.file.addEventListener("change", () => void this.load());
    const form = h(
      "form",
      { class: "run" },
      labelled("Scenario (JSON)", this.scenario),
      labelled("Or a file", this.file),
      h(
        "fieldset",
        {},
        h("legend", {}, "Conditions"),
        ...this.conditions.map((one) => h("label", { class: "choice" }, one.box, one.title)),
      ),
      h("div", { class: "bar" }, labelled("New tokens of each output", this.maxTokens), labelled("Seed", this.seed)),
      this.failure,
      h("p", { class: "actions" }, this.start, this.stop),
    );
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      void this.run();
    });
    show(this.bar, false);
    host.append(h("h2", { id: "run-title" }, "Run of the conditions"), form, this.bar, this.doing, this.outputs, this.report);
  }

  private async load(): Promise<void> {
    const file = this.file.files?.[0];
    if (file !== undefined) this.scenario.value = await file.text();
  }

  private fail(text: string): void {
    this.failure.textContent = text;
    show(this.failure, text !== "");
  }

  private body(): unknown {
    const chosen = this.conditions.filter((one) => one.box.checked).map((one) => one.name);
    if (chosen.length === 0) throw new Error("choose a condition");
    return {
      scenario: JSON.parse(this.scenario.value) as unknown,
      conditions: chosen,
      max_tokens: this.maxTokens.valueAsNumber || 48,
      seed: this.seed.valueAsNumber || 0,
    };
  }

  private async run(): Promise<void> {
    if (this.running !== null) return;
    this.fail("");
    this.running = new AbortController();
    this.setRunning(true);
    try {
      const events = api.events("/v1/runs", this.body(), this.running.signal);
      let finished = false;
      for await (const event of events) finished = this.take(event as RunEvent) || finished;
      if (!finished) throw new Error("the run ended without results");
      say("the run is finished");
    } catch (failure) {
      const aborted = failure instanceof DOMException && failure.name === "AbortError";
      this.fail(aborted ? "stopped" : failure instanceof Error ? failure.message : String(failure));
    } finally {
      this.running = null;
      this.setRunning(false);
    }
  }

  private setRunning(is: boolean): void {
    this.start.disabled = is;
    show(this.stop, is);
    show(this.bar, is);
    if (!is) this.doing.textContent = "";
  }

  // Whether the run is over.
  private take(event: RunEvent): boolean {
    switch (event.type) {
      case "run.started":
        this.drawGrid(event.conditions, event.clusters);
        return false;
      case "progress":
        this.bar.max = Math.max(1, event.total);
        this.bar.value = event.done;
        this.doing.textContent = `${event.what} (${event.done} of at most ${plural(event.total, "token")})`;
        return false;
      case "text": {
        this.cell(event)?.text.append(event.text);
        return false;
      }
      case "output": {
        const cell = this.cell(event);
        if (cell === undefined) return false;
        cell.text.textContent = event.text;
        cell.note.textContent = `${plural(event.tokens, "token")}, ${seconds(event.seconds)}`;
        return false;
      }
      case "condition.finished": {
        const head = this.heads.get(event.condition);
        if (head !== undefined) head.textContent = "finished";
        return false;
      }
      case "run.finished":
        this.drawReport(event.results, event.report);
        return true;
      case "error":
        throw new Error(event.error.message);
    }
  }

  private cell(event: { condition: string; cluster: string }): Cell | undefined {
    return this.cells.get(`${event.condition}/${event.cluster}`);
  }

  private drawGrid(conditions: Condition[], clusters: ClusterOf[]): void {
    this.cells.clear();
    this.heads.clear();
    this.report.replaceChildren();
    const heads = conditions.map((one) => {
      const state = h("span", { class: "note" }, "");
      this.heads.set(one.name, state);
      return h("th", { scope: "col" }, one.title, h("span", { class: "note" }, `separated by ${one.separates}`), state);
    });
    const rows = clusters.map((cluster) =>
      h(
        "tr",
        {},
        h("th", { scope: "row" }, `${cluster.label}: ${cluster.topic || cluster.id}`),
        ...conditions.map((condition) => {
          const cell = { text: h("p", { class: "text" }), note: h("p", { class: "note" }) };
          this.cells.set(`${condition.name}/${cluster.id}`, cell);
          return h("td", {}, cell.text, cell.note);
        }),
      ),
    );
    const head = h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Cluster"), ...heads));
    const table = h("table", { class: "outputs" }, h("caption", {}, "Outputs"), head, h("tbody", {}, ...rows));
    this.outputs.replaceChildren(h("div", { class: "wide", tabindex: 0, role: "region", "aria-label": "Outputs of the run" }, table));
  }

  private drawReport(results: unknown, report: string): void {
    this.report.replaceChildren(
      h("h2", {}, "Report"),
      h(
        "p",
        { class: "actions" },
        saveButton("Save report.html", "report.html", "text/html", report),
        saveButton("Save results.json", "results.json", "application/json", JSON.stringify(results, null, 1)),
      ),
      reportFrame(report),
    );
  }
}
