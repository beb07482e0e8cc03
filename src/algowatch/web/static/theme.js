// Runs before the first paint, as a classic script, so that the page does not flash in the other theme.
// The choice is "dark" or "light" in localStorage; nothing there, or a blocked storage, means "as the system prefers".
(() => {
  const light = matchMedia("(prefers-color-scheme: light)");
  const apply = () => {
    let chosen = null;
    try {
      chosen = localStorage.getItem("algowatch.theme");
    } catch {
      // storage is blocked: as the system
    }
    document.documentElement.dataset.theme = chosen === "dark" || chosen === "light" ? chosen : light.matches ? "light" : "dark";
  };
  light.addEventListener("change", apply);
  addEventListener("storage", apply);
  addEventListener("algowatch:theme", apply);
  apply();
})();
