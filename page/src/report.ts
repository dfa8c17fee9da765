// A report in a frame of its own, which can reach nothing; and files to keep.
import { button, h } from "./dom";

export function reportFrame(report: string): HTMLElement {
  const frame = h("iframe", { src: "/report-frame", sandbox: "allow-scripts", title: "Report of the run", class: "report" });
  addEventListener("message", function ready(event: MessageEvent): void {
    if (event.source !== frame.contentWindow || event.data !== "ready") return;
    removeEventListener("message", ready);
    frame.contentWindow?.postMessage(report, "*");  // the frame has no origin that could be named
  });
  return frame;
}

export function saveButton(label: string, name: string, type: string, content: string): HTMLButtonElement {
  return button(label, () => {
    const address = URL.createObjectURL(new Blob([content], { type }));
    h("a", { href: address, download: name }).click();
    setTimeout(() => URL.revokeObjectURL(address), 10_000);
  });
}
