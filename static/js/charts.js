// Draws the charts of templates/components/chart.html from the data beside them, in the page's own colours, again when
// the theme changes. Everything drawn here also stands in a table, so this adds a picture and nothing else.

// A canvas knows no custom properties and no light-dark(): an element tells what they come to.
const probe = document.createElement("i");
probe.hidden = true;
document.body.append(probe);
const css = (name) => {
  probe.style.color = `var(${name})`;
  return getComputedStyle(probe).color;
};
const dark = () => document.documentElement.dataset.bsTheme === "dark";
// Told apart by brightness as well as by hue; the last one is for "Other".
const LIGHT = ["#0f766e", "#e08a00", "#4f46b8", "#c2417c", "#3d8bfd", "#8a949e"];
const DARK = ["#2dd4bf", "#f3bd65", "#9d95f5", "#f288b3", "#7db8ff", "#8d98a4"];
const whole = new Intl.NumberFormat("en-US");
const small = new Intl.NumberFormat("en-US", { notation: "compact", maximumFractionDigits: 1 });
const money = (value) => {
  const size = Math.abs(value);
  const digits = size >= 1 || size === 0 ? { minimumFractionDigits: 2, maximumFractionDigits: 2 } : { maximumSignificantDigits: 3, minimumFractionDigits: 2 };
  return `$${value.toLocaleString("en-US", digits)}`;
};
const axisMoney = (value) => (Math.abs(value) >= 1000 ? `$${small.format(value)}` : `$${Number(value.toPrecision(3))}`);

const datasets = (data) => {
  const colors = dark() ? DARK : LIGHT;
  const bars = data.values.map((values, place) => ({
    type: "bar", label: data.names[place], data: values, stack: "now", order: 1,
    backgroundColor: data.names[place] === "Other" ? colors.at(-1) : colors[place % colors.length],
    borderColor: css("--surface"), borderWidth: { top: place ? 1 : 0 }, borderRadius: 2, maxBarThickness: 36,
  }));
  if (data.before) {
    bars.push({ type: "line", label: "The time before", fill: false, data: data.before, order: 0, stack: "before",
      borderColor: css("--muted"), backgroundColor: css("--muted"), borderDash: [4, 4], borderWidth: 1.5, pointRadius: 0, pointHitRadius: 8 });
  }
  return bars;
};

const options = (data) => ({
  animation: false, responsive: true, maintainAspectRatio: false,
  interaction: { mode: "index", intersect: false },
  scales: {
    x: { stacked: true, grid: { display: false }, border: { color: css("--line") }, ticks: { color: css("--muted"), maxRotation: 0, autoSkipPadding: 16 } },
    y: { stacked: true, beginAtZero: true, border: { display: false }, grid: { color: css("--line") },
      ticks: { color: css("--muted"), maxTicksLimit: 5, precision: data.money ? undefined : 0, callback: (value) => (data.money ? axisMoney(value) : small.format(value)) } },
  },
  plugins: {
    legend: { display: data.names.length > 1 || Boolean(data.before), position: "bottom", align: "start",
      labels: { color: css("--ink"), boxWidth: 10, boxHeight: 10, padding: 14, useBorderRadius: true, borderRadius: 3 } },
    tooltip: { backgroundColor: dark() ? "#2b323c" : "#12161b", padding: 10, boxPadding: 4, filter: (item) => item.parsed.y !== 0, itemSort: (one, other) => other.parsed.y - one.parsed.y,
      callbacks: {
        label: (item) => ` ${item.dataset.label}: ${data.money ? money(item.parsed.y) : whole.format(item.parsed.y)}`,
        footer: (items) => {
          const stacked = items.filter((item) => item.dataset.stack === "now");
          if (stacked.length < 2) return "";
          const sum = stacked.reduce((total, item) => total + item.parsed.y, 0);
          return `All: ${data.money ? money(sum) : whole.format(sum)}`;
        },
      } },
  },
});

const drawn = [];
const draw = (figure) => {
  const canvas = figure.querySelector("canvas");
  const source = document.getElementById(`${figure.dataset.chart}-data`);
  if (!canvas || !source) return;
  const data = JSON.parse(source.textContent);
  Chart.defaults.font.family = getComputedStyle(document.body).fontFamily;
  drawn.push({ data, chart: new Chart(canvas, { data: { labels: data.labels, datasets: datasets(data) }, options: options(data) }) });
};
const redraw = () => {
  for (const { data, chart } of drawn) {
    chart.data.datasets = datasets(data);
    chart.options = options(data);
    chart.update("none");
  }
};

for (const figure of document.querySelectorAll("[data-chart]")) draw(figure);
new MutationObserver(redraw).observe(document.documentElement, { attributes: true, attributeFilter: ["data-bs-theme"] });
