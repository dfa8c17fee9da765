// All partitions of this owner as a table: those of this page and those of other clients.
import type { Partition } from "./api";
import { h } from "./dom";
import { nameOf } from "./graph";
import { bytes, count } from "./numbers";

const kColumns = ["Partition", "State", "Tokens", "Memory", "Prefilled", "From fork", "Generated", "Messages"];

export function partitionTable(partitions: Partition[], bytesPerToken: number): HTMLElement {
  const rows = partitions.map((one) => {
    const memory = one.kv_bytes ?? one.tokens * bytesPerToken;
    const { ledger } = one;
    const cells = [
      one.parked === true ? "parked" : one.busy ? "in use" : "idle",
      count(one.tokens),
      one.parked === true ? "0 B" : bytes(memory),
      count(ledger.prefilled_tokens),
      count(ledger.reused_tokens),
      count(ledger.generated_tokens),
      count(ledger.messages_received),
    ];
    return h("tr", {}, h("th", { scope: "row" }, nameOf(one)), ...cells.map((cell) => h("td", {}, cell)));
  });
  const head = h("thead", {}, h("tr", {}, ...kColumns.map((name) => h("th", { scope: "col" }, name))));
  const table = h("table", {}, h("caption", {}, "All partitions of this owner"), head, h("tbody", {}, ...rows));
  return h("div", { class: "wide", tabindex: 0, role: "region", "aria-label": "Table of partitions" }, table);
}
