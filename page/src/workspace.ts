// The view of clusters: columns side by side, the graph between them, and the table of partitions.
import * as api from "./api";
import { Cluster } from "./cluster";
import { ClusterView } from "./cluster_view";
import { ask } from "./dialog";
import { button, h, labelled, say } from "./dom";
import { drawGraph } from "./graph";
import { partitionTable } from "./partition_table";

const kPatience = 20;  // tries, a tenth of a second apart

// An answer that was stopped may need a moment to end.
async function removed(id: string): Promise<void> {
  for (let tries = 1; ; ++tries) {
    try {
      await api.remove(id);
      return;
    } catch (failure) {
      if (!(failure instanceof api.ApiError) || failure.status !== 409 || tries === kPatience) throw failure;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }
}

interface Column {
  cluster: Cluster;
  view: ClusterView;
}

export class Workspace {
  private readonly columns = new Map<string, Column>();  // by id of the partition
  private readonly row = h("div", { class: "columns" });
  private readonly hint = h("p", { class: "soft" });
  private readonly graph = h("div", { class: "graph" });
  private readonly table = h("div");
  private readonly maxTokens = h("input", { type: "number", min: 1, max: 8192, value: 160 });
  private readonly temperature = h("input", { type: "number", min: 0, max: 2, step: 0.1, value: 0.7 });
  private readonly details = new Map<string, { messages: number; info: api.Partition }>();
  private drawn = "";
  private bytesPerToken = 0;

  constructor(
    host: HTMLElement,
    private readonly notice: (failure: unknown) => void,
  ) {
    host.append(
      h("h2", { id: "clusters-title" }, "Clusters"),
      this.hint,
      h(
        "div",
        { class: "bar" },
        button("New cluster", () => void this.add(), { class: "main" }),
        labelled("Most new tokens", this.maxTokens),
        labelled("Temperature", this.temperature),
      ),
      this.row,
      h("h2", {}, "Messages"),
      this.graph,
      h("h2", {}, "Partitions"),
      this.table,
    );
  }

  setModel(bytesPerToken: number, hasChats: boolean): void {
    this.bytesPerToken = bytesPerToken;
    this.hint.textContent = hasChats
      ? "A cluster is a conversation in a partition of its own: nothing said in one reaches another, except as a message."
      : "This model has no chat template, so it has no chats. Runs work.";
  }

  // What the server has now. The first time, named partitions become columns.
  async refresh(): Promise<void> {
    const list = await api.partitions();
    for (const info of list) {
      const isKnown = this.columns.has(info.id);
      if (!isKnown && info.name !== null) this.show(Cluster.restored(await api.partition(info.id)));
      const column = this.columns.get(info.id);
      if (column === undefined) continue;
      column.cluster.info = info;
      column.view.drawFacts();
    }
    const there = new Set(list.map((info) => info.id));
    for (const [id, column] of this.columns) {
      if (!there.has(id) && !column.cluster.busy) this.hide(id);
    }
    await this.drawConnections(list);
  }

  private async drawConnections(list: api.Partition[]): Promise<void> {
    const full: api.Partition[] = [];
    for (const info of list) full.push({ ...info, ...(await this.receivedOf(info)) });
    const state = JSON.stringify(full.map((one) => [one.id, one.name, one.forked_from, one.received]));
    if (state !== this.drawn) {
      this.drawn = state;
      this.graph.replaceChildren(drawGraph(full));
    }
    this.table.replaceChildren(partitionTable(list, this.bytesPerToken));
  }

  // Asked for only where something came since.
  private async receivedOf(info: api.Partition): Promise<{ received?: api.Received[] }> {
    const messages = info.ledger.messages_received;
    if (messages === 0) return {};
    const known = this.details.get(info.id);
    if (known?.messages === messages) return { received: known.info.received ?? [] };
    const asked = await api.partition(info.id);
    this.details.set(info.id, { messages, info: asked });
    return { received: asked.received ?? [] };
  }

  private show(cluster: Cluster): ClusterView {
    const view = new ClusterView(cluster, {
      settings: () => ({ maxTokens: this.maxTokens.valueAsNumber || 160, temperature: this.temperature.valueAsNumber || 0 }),
      bytesPerToken: () => this.bytesPerToken,
      fork: (source, turns, text) => void this.fork(source, turns, text),
      sendOutput: (source, turn) => void this.sendOutput(source, turn),
      close: (closed) => void this.close(closed),
      changed: () => void this.refresh().catch(this.notice),
    });
    this.columns.set(cluster.id, { cluster, view });
    this.row.append(view.element);
    return view;
  }

  private hide(id: string): void {
    this.columns.get(id)?.view.element.remove();
    this.columns.delete(id);
  }

  private freeName(stem: string): string {
    const names = new Set([...this.columns.values()].map((column) => column.cluster.name));
    for (let i = 1; ; ++i) {
      if (!names.has(`${stem}-${i}`)) return `${stem}-${i}`;
    }
  }

  private async add(): Promise<void> {
    const fields = [{ name: "name", label: "Name", value: this.freeName("cluster") }];
    const entered = await ask("New cluster", fields, "Create");
    if (entered?.["name"]) await this.tryTo(async () => this.declared(entered["name"] ?? "", ""));
  }

  private async declared(name: string, text: string): Promise<void> {
    const info = await api.declare(name);
    const cluster = new Cluster(name, info.id);
    cluster.info = info;
    this.show(cluster).write(text);
    say(`${name} is there`);
  }

  // New clusters that begin as this one; the first of them gets `text` to be edited.
  private async fork(source: Cluster, turns: number, text: string): Promise<void> {
    const fields = [{ name: "names", label: "Names, separated by commas", value: this.freeName(source.name) }];
    const entered = await ask(`Fork ${source.name}`, fields, "Fork");
    const names = (entered?.["names"] ?? "").split(",").map((name) => name.trim()).filter((name) => name !== "");
    if (names.length === 0) return;
    await this.tryTo(async () => {
      if (turns === 0) {  // nothing is shared
        for (const name of names) await this.declared(name, text);
        return;
      }
      const made = await api.fork(source.id, names, turns);
      made.forEach((info, index) => {
        const cluster = source.beginning(info.name ?? names[index] ?? info.id, info.id, turns);
        cluster.info = info;
        const view = this.show(cluster);
        if (index === 0) view.write(text);
      });
      say(`forked into ${names.join(", ")}`);
    });
  }

  // Attaches an answer to the message that is written to another cluster.
  private async sendOutput(source: Cluster, turn: number): Promise<void> {
    const others = [...this.columns.values()].filter((column) => column.cluster !== source);
    if (others.length === 0) return this.notice(new Error("there is no other cluster to send it to"));
    const fields = [{ name: "to", label: "To", options: others.map((column) => column.cluster.name) }];
    const entered = await ask(`Send turn ${turn + 1} of ${source.name}`, fields, "Attach");
    const target = others.find((column) => column.cluster.name === entered?.["to"]);
    const text = source.turns[turn]?.text;
    if (target === undefined || text === undefined) return;
    target.cluster.attachments = [...target.cluster.attachments, { from: source.name, turn, text }];
    target.view.draw();
    target.view.focus();
    say(`attached to the message to ${target.cluster.name}`);
  }

  private async close(cluster: Cluster): Promise<void> {
    await this.tryTo(async () => {
      cluster.stop();
      await removed(cluster.id);
      this.hide(cluster.id);
      say(`${cluster.name} is deleted`);
    });
  }

  private async tryTo(act: () => Promise<void>): Promise<void> {
    try {
      await act();
      await this.refresh();
    } catch (failure) {
      this.notice(failure);
    }
  }
}
