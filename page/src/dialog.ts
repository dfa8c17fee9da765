// Asks for something in a dialog of the browser's own, which keeps the focus and ends with Escape.
import { button, h, labelled } from "./dom";

export interface Field {
  name: string;
  label: string;
  value?: string;
  options?: string[];  // a choice; otherwise a line of text
}

// What was entered, by name; null: it was cancelled.
export function ask(title: string, fields: Field[], action: string): Promise<Record<string, string> | null> {
  const controls = fields.map((field) => {
    const control = field.options ? h("select", { name: field.name }) : h("input", { name: field.name, required: true });
    for (const option of field.options ?? []) control.append(h("option", { value: option }, option));
    if (field.value !== undefined) control.value = field.value;
    return labelled(field.label, control);
  });
  const heading = h("h2", { id: "dialog-title" }, title);
  const form = h("form", {}, heading, ...controls);
  const dialog = h("dialog", { "aria-labelledby": "dialog-title" }, form);
  form.append(
    h("p", { class: "actions" }, h("button", { type: "submit", class: "main" }, action), button("Cancel", () => dialog.close())),
  );
  return new Promise((resolve) => {
    let entered: Record<string, string> | null = null;
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      entered = {};
      for (const [name, value] of new FormData(form)) entered[name] = String(value).trim();
      dialog.close();
    });
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(entered);
    });
    document.body.append(dialog);
    dialog.showModal();
  });
}
