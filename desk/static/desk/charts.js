/* Draws the desk's charts from the JSON beside them, in the theme's colours, and again when the theme changes. */
"use strict";

const root = document.documentElement;
const drawn = [];

function colour(name) {
  return getComputedStyle(root).getPropertyValue(name).trim();
}

function said(unit, value) {
  const number = value.toLocaleString("en", { maximumFractionDigits: unit === "$" ? 2 : 1 });
  if (unit === "$") return value < 0 ? `-$${number.slice(1)}` : `$${number}`;
  return unit ? `${number} ${unit}` : number;
}

function series(one, place) {
  const hue = colour(`--desk-series-${(place % 6) + 1}`);
  const line = one.kind === "line";
  return {
    type: one.kind,
    label: one.name,
    data: one.values,
    yAxisID: one.axis,
    order: line ? 0 : 1,
    borderColor: hue,
    backgroundColor: line ? "transparent" : hue,
    borderWidth: line ? 2 : 0,
    borderDash: one.axis === "right" ? [5, 4] : [],
    pointRadius: one.values.length > 1 ? 0 : 4,
    pointHoverRadius: 4,
    borderRadius: 3,
    cubicInterpolationMode: "monotone",
    spanGaps: true,
    maxBarThickness: 36,
  };
}

function options(data) {
  const text = colour("--desk-soft");
  const grid = colour("--desk-line");
  const units = { y: data.unit, right: data.rightUnit };
  const scale = (axis, extra) => ({
    grid: { color: grid, drawOnChartArea: axis === "y" },
    border: { display: false },
    ticks: { color: text, maxTicksLimit: 6, callback: (value) => said(units[axis], value) },
    ...extra,
  });
  const right = data.series.some((one) => one.axis === "right");
  return {
    responsive: true,
    maintainAspectRatio: false,
    animation: false,
    interaction: { mode: "index", intersect: false },
    scales: {
      x: { grid: { display: false }, border: { color: grid }, ticks: { color: text, maxRotation: 0, autoSkipPadding: 16 } },
      y: scale("y", { beginAtZero: true }),
      ...(right ? { right: scale("right", { position: "right", beginAtZero: true }) } : {}),
    },
    plugins: {
      legend: { align: "start", labels: { sort: (a, b) => a.datasetIndex - b.datasetIndex, color: text, boxWidth: 10, boxHeight: 10, useBorderRadius: true, borderRadius: 3 } },
      tooltip: {
        callbacks: { label: (item) => `${item.dataset.label}: ${said(units[item.dataset.yAxisID], item.parsed.y)}` },
      },
    },
  };
}

function draw() {
  drawn.splice(0).forEach((chart) => chart.destroy());
  Chart.defaults.font.family = getComputedStyle(document.body).fontFamily;
  document.querySelectorAll("canvas[data-chart]").forEach((canvas) => {
    const data = JSON.parse(document.getElementById(canvas.dataset.chart).textContent);
    drawn.push(new Chart(canvas, { data: { labels: data.labels, datasets: data.series.map(series) }, options: options(data) }));
  });
}

draw();
new MutationObserver(draw).observe(root, { attributes: true, attributeFilter: ["class"] });
