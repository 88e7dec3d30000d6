// The page: what is chosen, what follows from it, and how it is shown. All words are in index.html, in both languages.
"use strict";

const MOST = 64, STEPS = 10, TEMPERATURES = [1, 2, 5, 10, 20, 50, 90];
const COLOURS = { dense: "#0072b2", pruned90: "#c98500", pruned98: "#d55e00", lowrank: "#009e73", hot: "#a3508a" };
const { networks: NETWORKS, digits: DIGITS } = PLAYGROUND, KEYS = Object.keys(NETWORKS);
for (const { layers } of Object.values(NETWORKS))
  for (const layer of layers) for (const key in layer) if (layer[key].base64) layer[key] = decoded(layer[key]);

const state = {
  pixels: null, label: 0, sample: 0, strokes: [], pen: [0.5, 0.2], down: false, // the digit
  network: "dense", loss: "cross_entropy", T: 1, precision: "32", epsilon: 16, method: "", steps: 0, // the attack
  guess: "", answers: null, right: 0, asked: 0, // the question
};

const $ = id => document.getElementById(id), every = (selector, f) => document.querySelectorAll(selector).forEach(f);
const fill = texts => Object.entries(texts).forEach(([name, text]) => every(`[data-is=${name}]`, e => e.textContent = text));
const tell = (id, which) => every(`#${id} > [data-when]`, e => e.hidden = !e.dataset.when.split(" ").includes(which));
const number = (value, digits = 1) => value.toLocaleString(document.documentElement.lang,
  { minimumFractionDigits: digits, maximumFractionDigits: digits }).replace("-", "−");

// Pictures

const mix = (from, to, t) => from.map((value, i) => value + (to[i] - value) * t);
const ink = t => mix([255, 255, 255], [32, 40, 54], t);
const signed = t => mix([246, 246, 244], t > 0 ? [213, 94, 0] : [0, 114, 178], Math.abs(t));

function paint(canvas, height, width, colour) {
  const picture = new ImageData(canvas.width = width, canvas.height = height);
  for (let at = 0; at < height * width; at++) picture.data.set([...colour(Math.floor(at / width), at % width), 255], 4 * at);
  canvas.getContext("2d").putImageData(picture, 0, 0);
}
const paintImage = (canvas, data, colour = ink) => paint(canvas, 16, 16, (h, w) => colour(data[h * 16 + w]));

function paintMaps(canvas, { data, shape: [H, W, C] }, columns) { // side by side, a line between them
  const brightest = Math.max(...data) || 1;
  paint(canvas, Math.ceil(C / columns) * (H + 1) - 1, columns * (W + 1) - 1, (h, w) => {
    const c = Math.floor(h / (H + 1)) * columns + Math.floor(w / (W + 1)), [i, j] = [h % (H + 1), w % (W + 1)];
    return i === H || j === W ? [214, 217, 222] : ink(data[(i * W + j) * C + c] / brightest);
  });
}

// Lines of [x, y], {points, colour}: x from 0 to right, y down to least where that is given; a mark at an x.
function chart(svg, lines, right, least, mark) {
  const width = svg.clientWidth, height = svg.clientHeight, ys = lines.flatMap(line => line.points.map(([, y]) => y));
  const high = Math.max(...ys, 0.1), low = least ?? Math.min(...ys, 0), ten = 10 ** Math.floor(Math.log10(high - low));
  const step = [ten / 5, ten / 2, ten, 2 * ten].find(size => (high - low) / size <= 5), parts = [];
  const x = value => 48 + (width - 64) * value / right, y = value => 10 + (height - 36) * (high - value) / (high - low);
  const text = (h, v, anchor, value) =>
    parts.push(`<text x="${h}" y="${v}" text-anchor="${anchor}">${number(value, value % 1 ? 1 : 0)}</text>`);
  for (const part of [0, 0.5, 1]) text(x(right * part), height - 6, "middle", right * part);
  for (let i = Math.ceil(low / step); i * step <= high; i++) {
    text(40, y(i * step) + 4, "end", i * step);
    parts.push(`<path class="${i ? "grid" : "zero"}" d="M48 ${y(i * step)}H${width - 16}"/>`);
  }
  if (mark !== undefined) parts.push(`<path class="mark" d="M${x(mark)} 4V${height - 24}"/>`);
  parts.push(`<svg x="44" y="6" width="${width - 56}" height="${height - 28}" viewBox="44 6 ${width - 56} ${height - 28}">`);
  for (const { points, colour } of lines)
    parts.push(`<path d="M${points.map(([h, v]) => `${x(h)} ${y(v)}`).join("L")}" stroke="${colour}"/>`,
      ...points.map(([h, v]) => `<circle cx="${x(h)}" cy="${y(v)}" r="2.5" fill="${colour}"/>`));
  svg.innerHTML = `${parts.join("")}</svg>`;
}

// What follows from the choices

const image = (precision = state.precision) =>
  ({ data: (precision === "32" ? Float32Array : Float64Array).from(state.pixels), shape: [16, 16, 1] });
const layersOf = key => NETWORKS[key].layers;
const slopeAt = (key, x, attacker = state) => lossGradient(layersOf(key), values(layersOf(key), x), state.label, attacker);
const signsIn = slope => slope.data.filter(value => value !== 0).length;

// The points of the attack from the image on: along FGSM's ray, or PGD's steps of epsilon / 4.
function way(x, net, epsilon) {
  const points = pgd(net, x, state.label, state, epsilon, state.method === "pgd" ? state.steps : 0, epsilon / 4);
  if (state.method !== "fgsm") return points;
  const ray = [1, 2, 3, 4, 5, 6].map(i => fgsm(x, points[0].slope, epsilon * i / 6)).map(x => ({ x, all: values(net, x) }));
  ray[5].slope = lossGradient(net, ray[5].all, state.label, state);
  return points.concat(ray);
}

function showAttack() {
  const net = layersOf(state.network), epsilon = state.epsilon / 255, points = way(image(), net, epsilon), [{ x }] = points;
  const { x: at, all, slope } = points.at(-1), outputs = points.map(point => point.all.at(-1));
  const margins = outputs.map(g => margin(g, state.label));
  const read = largest(outputs.at(-1).data), wrong = read !== state.label, fgsmed = state.method === "fgsm";
  paintImage($("image"), x.data);
  paintImage($("delta"), at.data.map((value, i) => value - x.data[i]), value => signed(value / (epsilon || 1)));
  paintImage($("attacked"), at.data);
  paintImage($("signs"), slope.data, value => signed(Math.sign(value)));
  all.filter((_, i) => i && net[i - 1].kind === "relu").forEach((y, i) => paintMaps($(`maps${i}`), y, i ? 12 : 6));
  const [was, p] = [outputs[0], outputs.at(-1)].map(g => softmax(g, state.T).data);
  every("#bars > div", (row, k) => {
    row.className = k === state.label ? "true" : k === read ? "read" : "";
    row.querySelector("i").style.width = `${100 * p[k]}%`;
    row.querySelector("u").style.left = `${100 * was[k]}%`;
    row.lastElementChild.textContent = `${number(100 * p[k])} %`;
  });
  const right = fgsmed ? state.epsilon || 1 : STEPS, line = margins.map((value, i) => [fgsmed ? right * i / 6 : i, value]);
  chart($("way"), [{ points: line, colour: COLOURS[state.network] }], right);
  const still = state.method && !signsIn(points[0].slope);
  tell("verdict", still ? "zero" : state.method ? (wrong ? "fell" : "stands") : wrong ? "wrong" : "right");
  tell("method", state.method);
  tell("across", fgsmed ? "fgsm" : "pgd");
  $("verdict").className = still ? "still" : wrong ? "wrong" : "";
  $("pgd").disabled = state.method === "pgd" && state.steps === STEPS;
  const { weights, accuracy } = NETWORKS[state.network];
  fill({ epsilon: `${state.epsilon}/255`, times: epsilon ? number(1 / epsilon, 0) : "1", T: state.T, label: state.label, read,
    steps: state.steps, margin: number(margins.at(-1)), before: number(margins[0]), weights: number(weights, 0),
    accuracy: number(100 * accuracy) });
}

// The question: which network falls first, by FGSM?

function showRace() {
  const { answers, guess } = state, firsts = answers && Math.min(...KEYS.map(key => answers[key].at ?? Infinity));
  for (const key of KEYS) {
    const { at } = answers?.[key] ?? {}, x = answers ? fgsm(image(), answers[key].slope, state.epsilon / 255) : image();
    const card = document.querySelector(`#guess [data-card=${key}]`), g = logits(layersOf(key), x);
    paintImage(card.querySelector("canvas"), x.data);
    card.querySelector("[data-reads]").textContent = largest(g.data);
    card.classList.toggle("wrong", largest(g.data) !== state.label);
    card.classList.toggle("first", answers !== null && at === firsts);
    tell(`falls-${key}`, !answers ? "" : at !== null ? "falls" : signsIn(answers[key].slope) ? "stands" : "still");
    every(`#falls-${key} [data-at]`, e => e.textContent = `${at}/255`);
  }
  const isRight = answers && (guess === "none" ? firsts === Infinity : answers[guess].at === firsts);
  tell("outcome", !answers ? "asked" : isRight ? "yes" : "no");
  $("answer").disabled = !guess || answers;
  $("answered").hidden = !answers;
  every("input[name=guess]", input => { input.checked = input.value === guess; input.disabled = answers !== null; });
  fill({ right: state.right, asked: state.asked });
  if (!answers) return false;
  const relative = ({ points }) => points.map(([epsilon, value]) => [epsilon, value / Math.abs(points[0][1])]);
  const lines = KEYS.map(key => ({ points: relative(answers[key]), colour: COLOURS[key] }));
  chart($("lines"), lines, MOST, -0.5, state.epsilon);
  return isRight;
}

function answer() {
  state.answers = Object.fromEntries(KEYS.map(key => [key, smallestEpsilon(layersOf(key), image(), state.label, state, MOST)]));
  state.asked += 1;
  if (showRace()) state.right += 1;
  fill({ right: state.right });
}

// The exponentials of the image's logits, and what float32 keeps of them

function showWhy() {
  const g = logits(layersOf(state.network), image()).data, order = [...g.keys()].sort((a, b) => g[b] - g[a]);
  const powers = order.map(k => (g[k] - g[order[0]]) / state.T / Math.LN10), reach = clip(-1.1 * powers.at(-1), 60, 400);
  const x = power => 410 - 400 * Math.min(-power / reach, 1), band = (name, from, to) =>
    `<rect class="${name}" x="${x(to)}" y="44" width="${x(from) - x(to)}" height="30"/>`;
  const text = (power, y, anchor, words) => `<text x="${x(power)}" y="${y}" text-anchor="${anchor}">${words}</text>`;
  const ten = (power, raised) => `10<${raised}>${String(power).replace("-", "−")}</${raised.split(" ")[0]}>`;
  const end = power => -power > reach ? "" : text(power, 90, "middle", ten(power, 'tspan dy="-5" class="up"'));
  const beyond = order.filter((_, i) => -powers[i] > reach), pin = (k, i) => beyond.includes(k) ? "" :
    `<path class="pin" d="M${x(powers[i])} ${38 - 11 * (i % 3)}V74"/>${text(powers[i], 35 - 11 * (i % 3), "middle", k)}`;
  $("scale").innerHTML = [band("single", 0, -45), band("double", -45, -324), text(-44, 108, "start", "float32"),
    text(-46, 108, "end", "float64"), text(0, 90, "middle", "1"), end(-45), end(-324), ...order.map(pin),
    text(-reach, 13, "start", beyond.length ? `← ${beyond.reverse().join(" ")}` : "")].join("");
  $("digits").innerHTML = order.map((k, i) => {
    const power = Math.floor(powers[i]), point = number(0.5)[1], kept = Math.fround(10 ** powers[i]) / 10 ** power;
    const [exact, single] = [10 ** (powers[i] - power), kept || 0].map(value => value.toFixed(5).replace(".", point));
    const same = [...exact, ""].findIndex((digit, j) => digit !== single[j]);
    const shown = kept ? `${single.slice(0, same)}<s>${single.slice(same)}</s> · ${ten(power, "sup")}` : "<s>0</s>";
    return `<tr><td>${k}</td><td>${number(g[k], 0)}</td><td>${exact} · ${ten(power, "sup")}</td><td>${shown}</td></tr>`;
  }).join("");
  const signs = (precision, attacker) => signsIn(slopeAt(state.network, image(precision), attacker));
  const [single, double] = ["32", "64"].map(precision => signs(precision, { loss: "cross_entropy", T: state.T }));
  fill({ single, double, margins: signs("32", { loss: "margin" }) });
}

// The digit: one of the data's, or drawn

function show(onlyEpsilon = false) {
  showAttack();
  if (!onlyEpsilon || state.answers) showRace();
  if (!onlyEpsilon) showWhy();
  every(".epsilon", input => input.value = state.epsilon);
  every(".T", input => Object.assign(input, { value: TEMPERATURES.indexOf(state.T), disabled: state.loss === "margin" }));
  every("input[type=radio]", input => input.checked = String(state[input.name]) === input.value);
}

function change(choices) { // another digit or attacker: another question
  Object.assign(state, choices, { guess: "", answers: null });
  show();
}

function take(sample) {
  const small = [...DIGITS[sample].pixels].map(grey => parseInt(grey, 17) / 16);
  change({ sample, strokes: [], down: false, method: "", pixels: enlarge(small), label: DIGITS[sample].label });
  showPad();
}

function drawTo(point, begins) {
  if (begins) state.strokes.push([]);
  state.pen = point.map(value => clip(value, 0, 1));
  if (state.down) {
    state.strokes.at(-1).push(state.pen);
    state.pixels = enlarge(scanned(state.strokes));
    const votes = KEYS.map(key => largest(logits(layersOf(key), image()).data)), count = k => votes.filter(vote => vote === k).length;
    change({ method: "", label: votes.reduce((best, k) => count(k) > count(best) ? k : best) });
  }
  showPad();
}

function showPad() {
  const pad = $("pad"), pen = pad.getContext("2d"), at = ([x, y]) => [x * pad.width, y * pad.height];
  pen.clearRect(0, 0, pad.width, pad.height);
  Object.assign(pen, { lineWidth: 30, lineCap: "round", lineJoin: "round", strokeStyle: "#202836", imageSmoothingEnabled: false });
  if (!state.strokes.length) pen.drawImage($("image"), 0, 0, pad.width, pad.height);
  for (const stroke of state.strokes) {
    pen.beginPath();
    for (const point of [stroke[0], ...stroke]) pen.lineTo(...at(point));
    pen.stroke();
  }
  if (document.activeElement !== pad) return;
  Object.assign(pen, { lineWidth: 4, strokeStyle: state.down ? "#d55e00" : "#0072b2" });
  pen.beginPath();
  pen.arc(...at(state.pen), 18, 0, 7);
  pen.stroke();
}

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
$("pad").addEventListener("keydown", event => {
  const arrow = ARROWS[event.key];
  if (!arrow && event.key !== " ") return;
  event.preventDefault();
  if (!arrow) state.down = !state.down;
  drawTo(state.pen.map((value, axis) => value + (arrow ? arrow[axis] / 20 : 0)), !arrow && state.down);
});
for (const kind of ["pointerdown", "pointermove", "pointerup"]) $("pad").addEventListener(kind, event => {
  if (kind === "pointermove" && !event.buttons) return;
  state.down = kind !== "pointerup";
  drawTo([event.offsetX / $("pad").clientWidth, event.offsetY / $("pad").clientHeight], kind === "pointerdown");
});
for (const kind of ["focus", "blur"]) $("pad").addEventListener(kind, showPad);

document.addEventListener("input", ({ target: { name, value, className } }) => {
  if (className === "epsilon") state.epsilon = Number(value);
  if (name === "network" || name === "guess") state[name] = value;
  if (className === "T") change({ T: TEMPERATURES[value] });
  if (["label", "loss", "precision"].includes(name)) change({ [name]: name === "label" ? Number(value) : value });
  else show(className === "epsilon");
});
const PRESSED = {
  clear: () => drawTo([0.5, 0.2], state.down = false, state.strokes = []),
  fgsm: () => show(Object.assign(state, { method: "fgsm" }) && false),
  pgd: () => show(Object.assign(state, { steps: state.method === "pgd" ? state.steps + 1 : 1, method: "pgd" }) && false),
  back: () => show(Object.assign(state, { method: "" }) && false),
  answer, next: () => take((state.sample + 1) % DIGITS.length),
  setup: () => change({ network: "hot", loss: "cross_entropy", T: 1, precision: "32", method: "fgsm" }),
};
document.addEventListener("click", event => {
  const button = event.target.closest("button");
  if (button?.dataset.sample) take(Number(button.dataset.sample));
  else if (button) PRESSED[button.id]();
});

function speak() {
  const asked = ["#en", "#fr"].includes(location.hash) ? location.hash.slice(1) : document.documentElement.lang;
  document.documentElement.lang = asked || (navigator.language.startsWith("fr") ? "fr" : "en");
  if (state.pixels) show();
}
window.addEventListener("hashchange", speak);
window.addEventListener("resize", () => show());
speak();
DIGITS.forEach(({ label }, i) => {
  $("samples").insertAdjacentHTML("beforeend", `<button data-sample="${i}" aria-label="${label}"><canvas></canvas></button>`);
  take(i);
  paintImage($("samples").lastChild.firstChild, state.pixels);
});
take(3);
