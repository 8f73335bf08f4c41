// The memory slider: reads the table behind the curve, and says what each policy would give.
function say(slider) {
  const panel = slider.closest("section");
  const row = panel.querySelector("[data-curve-table] tbody").rows[slider.value];
  const names = [...panel.querySelectorAll("[data-curve-table] thead th")].slice(1).map((cell) => cell.textContent);
  const hits = names.map((name, i) => `${name} ${row.cells[i + 1].textContent}`);
  const text = `${row.cells[0].textContent}: ${hits.join(", ")}`;
  slider.ariaValueText = text;
  panel.querySelector("output").textContent = text;
  const x = (1000 * slider.value) / Math.max(1, slider.max);
  panel.querySelector(".cross").setAttribute("d", `M${x},0V200`);
}

export function showCurve() {
  document.querySelectorAll("[data-curve]").forEach(say);
}

export function watchCurve() {
  document.addEventListener("input", (event) => "curve" in event.target.dataset && say(event.target));
  showCurve();
}
