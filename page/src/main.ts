// The page of `bulkhead serve`: chats in clusters, and runs of scenarios.
import * as api from "./api";
import { h, known, show } from "./dom";
import { bytes, count } from "./numbers";
import { RunView } from "./run_view";
import { addTheme } from "./theme";
import { Workspace } from "./workspace";

const kPollMilliseconds = 1000;

// Whether the notice says that the server cannot be asked: such a notice goes when it can.
let isOfPoll = false;

function notice(failure: unknown, ofPoll = false): void {
  const text = failure instanceof Error ? failure.message : String(failure);
  const element = known("notice-text");
  if (element.textContent !== text) element.textContent = text;
  isOfPoll = ofPoll;
  show(known("notice"), text !== "");
}

function addViews(names: [string, string][]): void {
  const links = names.map(([id, title]) => {
    const link = h("a", { href: `#${id}` }, title);
    known("views").append(link);
    return { id, link };
  });
  const apply = (): void => {
    const wanted = location.hash.slice(1);
    const current = links.find((one) => one.id === wanted)?.id ?? links[0]?.id;
    for (const { id, link } of links) {
      show(known(`${id}-view`), id === current);
      if (id === current) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
  };
  addEventListener("hashchange", apply);
  apply();
}

// A counter of /metrics.
function metric(text: string, name: string): number {
  const line = text.split("\n").find((one) => one.startsWith(`bulkhead_${name} `));
  return line === undefined ? 0 : Number(line.split(" ")[1]);
}

async function drawTotals(): Promise<void> {
  const text = await api.metrics();
  const parts = [
    `${count(metric(text, "partitions"))} partitions open, ${count(metric(text, "partitions_parked"))} of them parked`,
    `cells take ${bytes(metric(text, "kv_bytes"))}, parked ones ${bytes(metric(text, "parked_bytes"))}`,
    `${count(metric(text, "jobs_running"))} jobs run, ${count(metric(text, "jobs_waiting"))} wait`,
  ];
  known("totals").textContent = `${parts.join("; ")}.`;
}

async function greet(workspace: Workspace): Promise<void> {
  const props = await api.props();
  known("model").textContent = `${props.model_alias}, ${count(props.n_ctx)} tokens a partition, isolation ${props.isolation}`;
  workspace.setModel(props.kv_bytes_per_token ?? 0, props.chat_template);
}

function main(): void {
  addTheme(known<HTMLButtonElement>("theme"));
  addViews([
    ["clusters", "Clusters"],
    ["run", "Run"],
  ]);
  known("notice-close").addEventListener("click", () => notice(""));
  const workspace = new Workspace(known("clusters-view"), (failure) => notice(failure));
  new RunView(known("run-view"));
  let greeted = false;
  let polling = false;
  const poll = async (): Promise<void> => {
    if (polling || document.hidden) return;
    polling = true;
    try {
      if (!greeted) await greet(workspace);
      greeted = true;
      await workspace.refresh();
      await drawTotals();
      if (isOfPoll) notice("");
    } catch (failure) {
      notice(failure, true);
    }
    polling = false;
  };
  const key = known<HTMLInputElement>("key");
  key.value = api.savedKey();
  key.addEventListener("change", () => {
    api.saveKey(key.value.trim());
    greeted = false;
    void poll();
  });
  setInterval(() => void poll(), kPollMilliseconds);
  void poll();
}

main();
