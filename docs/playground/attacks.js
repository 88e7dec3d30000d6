// What an attacker climbs, and how: minidl/functional/loss.py and minidl/robustness/attacks, for one image.
"use strict";

const rounded = (value, x) => x.data instanceof Float32Array ? Math.fround(value) : value; // to the precision of x
const clip = (value, low, high) => Math.min(Math.max(value, low), high);
const largest = (data, but = -1) => // the place of it, among all but one; the first of equals
  data.reduce((best, value, k) => k !== but && (best < 0 || value > data[best]) ? k : best, -1);

// exp((g - max g) / T): the largest is 1 and none overflows; far below it they underflow, in float32 below 1.4e-45.
function exponentials(g, T) {
  const top = g.data[largest(g.data)];
  return map(g, value => Math.exp(rounded(rounded(value - top, g) / T, g)));
}

function softmax(g, T) {
  const e = exponentials(g, T), sum = e.data.reduce((a, b) => a + b);
  return map(e, value => value / sum);
}

// The gradient by the logits of -log p[label], (p - y) / T; p - 1 as minus the sum of the others, so that it keeps its
// digits where p is nearly 1.
function crossEntropyGrad(g, label, T) {
  const slope = softmax(g, T);
  slope.data[label] = 0;
  slope.data[label] = -slope.data.reduce((a, b) => a + b);
  return map(slope, value => value / T);
}

// How far the true class is ahead; below 0 the image is misread. Its negative is a loss without an exponential.
const margin = (g, label) => g.data[label] - g.data[largest(g.data, label)];

function marginGrad(g, label) {
  const slope = zeros(g, g.shape);
  slope.data[largest(g.data, label)] = 1;
  slope.data[label] = -1;
  return slope;
}

// An attacker is {loss: "cross_entropy" or "margin", T}; all is what values() gave for an image.
function lossGradient(layers, all, label, { loss, T }) {
  const g = all.at(-1);
  return gradient(layers, all, loss === "margin" ? marginGrad(g, label) : crossEntropyGrad(g, label, T));
}

// A step of the gradient's sign, and back to within epsilon of the image and within [0, 1].
function ascend(x, slope, step, image, epsilon) {
  const s = rounded(step, x), e = rounded(epsilon, x);
  return map(x, (value, i) => {
    const low = rounded(image.data[i] - e, x), high = rounded(image.data[i] + e, x);
    const moved = rounded(value + rounded(s * Math.sign(slope.data[i]), x), x);
    return clip(moved, clip(low, 0, 1), clip(high, 0, 1));
  });
}

// FGSM: epsilon along the signs of the image's gradient, the same for every epsilon.
const fgsm = (image, slope, epsilon) => ascend(image, slope, epsilon, image, epsilon);

// PGD: each point of so many steps, the image first, with its values and where the loss rises from it.
function pgd(layers, image, label, attacker, epsilon, steps, step) {
  const points = [];
  for (let x = image, k = 0; k <= steps; k++) {
    const all = values(layers, x), slope = lossGradient(layers, all, label, attacker);
    points.push({ x, all, slope });
    x = ascend(x, slope, step, image, epsilon);
  }
  return points;
}

// The smallest epsilon of FGSM, in steps of 1 / 255, that changes the answer (report, eq. (11)), null where none up to
// most does; and the margins on the way: points [[epsilon, margin], ...], with epsilon in 1 / 255.
function smallestEpsilon(layers, image, label, attacker, most) {
  const slope = lossGradient(layers, values(layers, image), label, attacker), points = [];
  const lead = epsilon => margin(logits(layers, fgsm(image, slope, epsilon / 255)), label);
  for (let epsilon = 0; epsilon <= most; epsilon += 4) points.push([epsilon, lead(epsilon)]);
  let [at] = points.find(([, value]) => value < 0) ?? [null];
  while (at > 0 && lead(at - 1) < 0) at -= 1;
  return { at, points, slope };
}
