// Loaded before the first paint, so that the chosen theme does not flash.
try {
  const theme = localStorage.getItem("perfmw-theme");
  if (theme) document.documentElement.dataset.theme = theme;
} catch {
  // storage may be forbidden; the system's theme is used then
}
