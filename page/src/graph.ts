// The graph of messages: partitions in a row, an arc above them for each output that went from one to another, an arc
// below for each fork. Beside it the same as a list, for who does not see it.
import type { Partition } from "./api";
import { h, s } from "./dom";
import { plural } from "./numbers";

interface Edge {
  from: number;  // index of a partition
  to: number;
  label: string;
  sentence: string;
}

const kStep = 130;
const kRadius = 16;

export function nameOf(partition: Partition): string {
  return partition.name ?? partition.id;
}

export function drawGraph(partitions: Partition[]): HTMLElement {
  const index = new Map<string, number>();
  partitions.forEach((one, i) => {
    index.set(one.id, i);
    if (one.name !== null) index.set(one.name, i);
  });
  const messages = messageEdges(partitions, index);
  const forks = forkEdges(partitions, index);
  const most = Math.max(1, ...[...messages, ...forks].map((edge) => Math.abs(edge.from - edge.to)));
  const rise = 40 + most * 28;
  const width = Math.max(1, partitions.length) * kStep;
  const height = 2 * rise + 30;
  const words = `${plural(partitions.length, "partition")}, ${plural(messages.length, "message")}, ${plural(forks.length, "fork")}`;
  const picture = s(
    "svg",
    { viewBox: `0 0 ${width} ${height}`, width, height, role: "img", "aria-label": `Graph of messages: ${words}` },
    arrow(),
    ...messages.map((edge) => arc(edge, rise, -1, "message")),
    ...forks.map((edge) => arc(edge, rise, 1, "forked")),
    ...partitions.map((one, i) => node(one, i, rise)),
  );
  const sentences = [...messages, ...forks].map((edge) => h("li", {}, edge.sentence));
  const list = h("ul", { class: "edges" }, ...(sentences.length > 0 ? sentences : [h("li", {}, "No message has been sent yet.")]));
  return h("div", {}, h("div", { class: "picture", tabindex: 0, role: "region", "aria-label": "Picture of the graph" }, picture), list);
}

// Messages from one to the same other are one arc.
function messageEdges(partitions: Partition[], index: Map<string, number>): Edge[] {
  const edges: Edge[] = [];
  partitions.forEach((receiver, to) => {
    const turns = new Map<number, number[]>();
    for (const message of receiver.received ?? []) {
      const from = index.get(message.from);
      if (from !== undefined) turns.set(from, [...(turns.get(from) ?? []), message.turn + 1]);
    }
    for (const [from, sent] of turns) {
      const source = partitions[from];
      if (source === undefined) continue;
      const label = `turn ${sent.join(", ")}`;
      edges.push({ from, to, label, sentence: `${nameOf(source)} sent its output to ${nameOf(receiver)}: ${label}` });
    }
  });
  return edges;
}

function forkEdges(partitions: Partition[], index: Map<string, number>): Edge[] {
  const edges: Edge[] = [];
  partitions.forEach((child, to) => {
    const from = child.forked_from ? index.get(child.forked_from) : undefined;
    const source = from === undefined ? undefined : partitions[from];
    if (from === undefined || source === undefined || from === to) return;
    edges.push({ from, to, label: "fork", sentence: `${nameOf(child)} was forked from ${nameOf(source)}` });
  });
  return edges;
}

function arrow(): SVGElement {
  return s(
    "defs",
    {},
    s(
      "marker",
      { id: "arrow", viewBox: "0 0 8 8", refX: 7, refY: 4, markerWidth: 7, markerHeight: 7, orient: "auto" },
      s("path", { d: "M0 0 8 4 0 8z", class: "head" }),
    ),
  );
}

function x(index: number): number {
  return kStep / 2 + index * kStep;
}

function arc(edge: Edge, middle: number, side: 1 | -1, kind: string): SVGElement {
  const start = middle + side * kRadius;
  const bend = start + side * (24 + Math.abs(edge.from - edge.to) * 36);
  const [from, to] = [x(edge.from), x(edge.to)];
  const top = (start + 3 * bend) / 4;
  return s(
    "g",
    { class: kind },
    s("path", { d: `M${from} ${start}C${from} ${bend} ${to} ${bend} ${to} ${start}`, "marker-end": "url(#arrow)" }),
    s("text", { x: (from + to) / 2, y: top + (side < 0 ? -5 : 14) }, edge.label),
  );
}

function node(partition: Partition, index: number, middle: number): SVGElement {
  const name = nameOf(partition);
  const shown = name.length > 16 ? `${name.slice(0, 15)}...` : name;
  return s(
    "g",
    { class: partition.name === null ? "node unnamed" : "node" },
    s("circle", { cx: x(index), cy: middle, r: kRadius }),
    s("text", { x: x(index), y: middle + kRadius + 14 }, shown),
  );
}
