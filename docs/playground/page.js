// The page: what is chosen, what follows from it, and how it is shown. All words are in index.html, in both languages.
"use strict";

const MOST = 64, STEPS = 8, TEMPERATURES = [1, 2, 5, 10, 20, 50, 90]; // epsilon in 1 / 255
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
const fill = texts => {
  for (const name in texts) every(`[data-is=${name}]`, place => place.textContent = texts[name]);
};
const tell = (id, which) => every(`#${id} > [data-when]`, words => words.hidden = words.dataset.when !== which);

const kindOf = precision => precision === "32" ? Float32Array : Float64Array;
const image = (precision = state.precision) => ({ data: kindOf(precision).from(state.pixels), shape: [16, 16, 1] });
const net = (key = state.network) => NETWORKS[key].layers;
const signsIn = slope => slope.data.filter(value => value !== 0).length;

const KNOWN = new Map(); // what is asked of the image itself is computed once
function clean(key = state.network, precision = state.precision) {
  const name = key + precision;
  if (!KNOWN.has(name)) KNOWN.set(name, values(net(key), image(precision)));
  return KNOWN.get(name);
}

// The attack on one network

// The points from the image on: along FGSM's ray, or PGD's steps of epsilon / 4.
function way(x, epsilon) {
  const steps = state.method === "pgd" ? state.steps : 0;
  const points = pgd(net(), x, state.label, state, epsilon, steps, epsilon / 4);
  if (state.method !== "fgsm") return points;
  const ray = [1, 2, 3, 4, 5, 6].map(i => fgsm(x, points[0].slope, epsilon * i / 6));
  points.push(...ray.map(x => ({ x, all: values(net(), x) })));
  points[6].slope = lossGradient(net(), points[6].all, state.label, state);
  return points;
}

function showAttack() {
  const epsilon = state.epsilon / 255, points = way(image(), epsilon), { x, slope: first } = points[0];
  const { x: at, all, slope } = points.at(-1), outputs = points.map(point => point.all.at(-1));
  const margins = outputs.map(g => margin(g, state.label)), read = largest(all.at(-1).data);
  const wrong = read !== state.label, still = state.method && !signsIn(first), across = state.method || "pgd";
  paintImage($("image"), x.data);
  paintImage($("delta"), at.data.map((value, i) => value - x.data[i]), value => signed(value / (epsilon || 1)));
  paintImage($("attacked"), at.data);
  paintImage($("signs"), slope.data, value => signed(Math.sign(value)));
  all.filter((_, i) => i && net()[i - 1].kind === "relu").forEach((y, i) => paintMaps($(`maps${i}`), y, i ? 12 : 6));
  showBars(softmax(outputs[0], state.T).data, softmax(all.at(-1), state.T).data, read);
  const right = across === "fgsm" ? state.epsilon || 1 : STEPS, step = across === "fgsm" ? right / 6 : 1;
  chart($("way"), [{ points: margins.map((value, i) => [i * step, value]), colour: COLOURS[state.network] }], right);
  tell("verdict", still ? "zero" : state.method ? (wrong ? "fell" : "stands") : wrong ? "wrong" : "right");
  tell("method", state.method);
  tell("across", across);
  $("verdict").className = still ? "still" : wrong ? "wrong" : "";
  $("pgd").disabled = state.method === "pgd" && state.steps === STEPS;
  const { weights, accuracy } = NETWORKS[state.network], { T, label, steps } = state;
  fill({ epsilon: `${state.epsilon}/255`, times: number(epsilon ? 1 / epsilon : 1, 0), T, label, read, steps });
  fill({ margin: number(margins.at(-1)), before: number(margins[0]) });
  fill({ weights: number(weights, 0), accuracy: number(100 * accuracy) });
}

function showBars(before, now, read) {
  every("#bars > div", (row, k) => {
    row.className = k === state.label ? "true" : k === read ? "read" : "";
    row.querySelector("i").style.width = `${100 * now[k]}%`;
    row.querySelector("u").style.left = `${100 * before[k]}%`;
    row.lastElementChild.textContent = `${number(100 * now[k])} %`;
  });
}

// The question: which network falls first, by FGSM?

function answer() {
  const one = key => [key, smallestEpsilon(net(key), image(), state.label, state, MOST)];
  state.answers = Object.fromEntries(KEYS.map(one));
  const least = Math.min(...KEYS.map(key => state.answers[key].at ?? Infinity));
  for (const key of KEYS) state.answers[key].first = state.answers[key].at === least;
  state.answers.none = { first: least === Infinity };
  state.asked += 1;
  state.right += state.answers[state.guess].first;
  showRace();
}

function showRace() {
  const { answers, guess, right, asked } = state;
  for (const key of KEYS) {
    const found = answers?.[key], x = found ? fgsm(image(), found.slope, state.epsilon / 255) : image();
    const card = $(key), read = largest((found ? logits(net(key), x) : clean(key).at(-1)).data);
    paintImage(card.querySelector("canvas"), x.data);
    card.classList.toggle("wrong", read !== state.label);
    card.classList.toggle("first", Boolean(found?.first));
    tell(`falls-${key}`, !found ? "" : found.at !== null ? "falls" : signsIn(found.slope) ? "stands" : "still");
    fill({ [`reads-${key}`]: read, [`at-${key}`]: `${found?.at}/255` });
  }
  tell("outcome", !answers ? "asked" : answers[guess].first ? "yes" : "no");
  fill({ right, asked });
  $("answer").disabled = !guess || answers;
  $("answered").hidden = !answers;
  every("[name=guess]", input => input.disabled = answers !== null);
  if (!answers) return;
  const relative = ({ points }) => points.map(([epsilon, value]) => [epsilon, value / Math.abs(points[0][1])]);
  const lines = KEYS.map(key => ({ points: relative(answers[key]), colour: COLOURS[key] }));
  chart($("lines"), lines, MOST, -0.5, state.epsilon);
}

// The exponentials of the image's logits, and what float32 keeps of them

function showWhy() {
  const g = clean().at(-1).data, order = [...g.keys()].sort((a, b) => g[b] - g[a]);
  const powers = order.map(k => (g[k] - g[order[0]]) / state.T / Math.LN10); // of ten
  showScale(order, powers);
  $("digits").innerHTML = order.map((k, i) => {
    const power = Math.floor(powers[i]), ten = ` · 10<sup>${number(power, 0)}</sup>`, point = number(0.5)[1];
    const exact = 10 ** (powers[i] - power), kept = Math.fround(10 ** powers[i]) / 10 ** power || 0;
    const off = Math.abs(kept - exact), good = off < 5e-6 ? 7 : off > 0.5 ? 0 : 2 + Math.floor(-Math.log10(2 * off));
    const [whole, single] = [exact, kept].map(value => value.toFixed(5).replace(".", point));
    const shown = kept ? `${single.slice(0, good)}<s>${single.slice(good)}</s>${ten}` : "<s>0</s>";
    return `<tr><td>${k}</td><td>${number(g[k], 0)}</td><td>${whole}${ten}</td><td>${shown}</td></tr>`;
  }).join("");
  const signs = (precision, attacker) =>
    signsIn(lossGradient(net(), clean(state.network, precision), state.label, attacker));
  const [single, double] = ["32", "64"].map(precision => signs(precision, { loss: "cross_entropy", T: state.T }));
  fill({ single, double, margins: signs("32", { loss: "margin" }) });
}

function showScale(order, powers) {
  const reach = clip(-1.1 * powers.at(-1), 60, 400), x = power => 410 - 400 * Math.min(-power / reach, 1);
  const text = (power, y, anchor, words) => `<text x="${x(power)}" y="${y}" text-anchor="${anchor}">${words}</text>`;
  const band = (name, from, to, left) => text(left, 108, from ? "end" : "start", name) +
    `<rect class="${name}" x="${x(to)}" y="44" width="${x(from) - x(to)}" height="30"/>` +
    (-to > reach ? "" : text(to, 90, "middle", `10<tspan dy="-5">−${-to}</tspan>`));
  const pins = order.map((k, i) => -powers[i] > reach ? "" : text(powers[i], 36 - 11 * (i % 4), "middle", k) +
    `<path class="pin" d="M${x(powers[i])} ${38 - 11 * (i % 4)}V74"/>`);
  const beyond = order.filter((_, i) => -powers[i] > reach).reverse();
  $("scale").innerHTML = band("float32", 0, -45, -44) + band("float64", -45, -324, -46) + text(0, 90, "middle", "1") +
    pins.join("") + text(-reach, 13, "start", beyond.length ? `← ${beyond.join(" ")}` : "");
}

// The digit: one of the data's, or drawn

function show(onlyEpsilon = false) {
  showAttack();
  if (!onlyEpsilon || state.answers) showRace();
  if (!onlyEpsilon) showWhy();
  every(".epsilon", input => input.value = state.epsilon);
  every(".T", input => input.value = TEMPERATURES.indexOf(state.T));
  every(".T", input => input.disabled = state.loss === "margin");
  every("[type=radio]", input => input.checked = String(state[input.name]) === input.value);
}

function choose(choices) {
  if (choices.pixels) KNOWN.clear();
  Object.assign(state, choices);
  show();
}
const change = choices => choose({ ...choices, guess: "", answers: null }); // another question

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
    change({ method: "", pixels: enlarge(scanned(state.strokes)) });
    const votes = KEYS.map(key => largest(clean(key).at(-1).data));
    const count = k => votes.filter(vote => vote === k).length;
    change({ label: votes.reduce((best, k) => count(k) > count(best) ? k : best) });
  }
  showPad();
}

function showPad() {
  const pad = $("pad"), pen = pad.getContext("2d"), at = ([x, y]) => [x * pad.width, y * pad.height];
  pen.clearRect(0, 0, pad.width, pad.height);
  Object.assign(pen, { lineWidth: 34, lineCap: "round", lineJoin: "round", strokeStyle: "#202836" });
  pen.imageSmoothingEnabled = false;
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
  if (kind === "pointerdown") $("pad").setPointerCapture(event.pointerId);
  state.down = kind !== "pointerup";
  drawTo([event.offsetX / $("pad").clientWidth, event.offsetY / $("pad").clientHeight], kind === "pointerdown");
});
for (const kind of ["focus", "blur"]) $("pad").addEventListener(kind, showPad);

document.addEventListener("input", ({ target: { name, value, className } }) => {
  if (className === "epsilon") state.epsilon = Number(value);
  if (className === "epsilon") show(true);
  else if (className === "T") change({ T: TEMPERATURES[value] });
  else if (name === "network" || name === "guess") choose({ [name]: value });
  else change({ [name]: name === "label" ? Number(value) : value });
});
const PRESSED = {
  clear: () => {
    Object.assign(state, { strokes: [], down: false });
    showPad();
  },
  fgsm: () => choose({ method: "fgsm" }),
  pgd: () => choose({ steps: state.method === "pgd" ? state.steps + 1 : 1, method: "pgd" }),
  back: () => choose({ method: "" }),
  answer,
  next: () => take((state.sample + 1) % DIGITS.length),
  setup: () => change({ network: "hot", loss: "cross_entropy", T: 1, precision: "32", method: "fgsm" }),
};
document.addEventListener("click", event => {
  const button = event.target.closest("button");
  if (button?.dataset.sample) take(Number(button.dataset.sample));
  else if (button) PRESSED[button.id]();
});
window.addEventListener("resize", () => {
  every(".chart", svg => svg.room = undefined);
  show();
});

function speak() { // of a link to a part of the page nothing follows
  const asked = { "#en": "en", "#fr": "fr" }[location.hash] || document.documentElement.lang;
  document.documentElement.lang = asked || (navigator.language.startsWith("fr") ? "fr" : "en");
  document.title = `${document.querySelector("h1").innerText} · minidl`;
  if (state.pixels) show();
}
window.addEventListener("hashchange", speak);
speak();
DIGITS.forEach(({ label }, i) => {
  const button = `<button data-sample="${i}" aria-label="${label}"><canvas></canvas></button>`;
  $("samples").insertAdjacentHTML("beforeend", button);
  take(i);
  paintImage($("samples").lastChild.firstChild, state.pixels);
});
take(3);
