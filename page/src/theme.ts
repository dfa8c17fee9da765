// Light, dark, or as the system says; remembered by the browser.
const kTheme = "bulkhead.theme";
const kThemes = ["auto", "light", "dark"] as const;
type Theme = (typeof kThemes)[number];

function saved(): Theme {
  const value = localStorage.getItem(kTheme);
  return kThemes.find((theme) => theme === value) ?? "auto";
}

export function addTheme(control: HTMLButtonElement): void {
  const apply = (theme: Theme): void => {
    document.documentElement.dataset["theme"] = theme;
    control.textContent = `Theme: ${theme}`;
  };
  control.addEventListener("click", () => {
    const next = kThemes[(kThemes.indexOf(saved()) + 1) % kThemes.length] ?? "auto";
    localStorage.setItem(kTheme, next);
    apply(next);
  });
  apply(saved());
}
