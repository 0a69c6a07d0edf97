// The brushes that every drawing uses. A picture is 800 by 800; things stand on the ground at y = GROUND.

export const GROUND = 640;

let gradients = [];

/** Begins a picture: gradients made from now on belong to it. */
export function begin() {
  gradients = [];
}

export function definitions() {
  return `<defs><filter id="soft" x="-50%" y="-50%" width="200%" height="200%"><feGaussianBlur stdDeviation="12"/></filter>${gradients.join("")}</defs>`;
}

function keep(tag, attributes, stops) {
  const id = `g${gradients.length}`;
  const list = stops.map((color, i) => `<stop offset="${stops.length === 1 ? 0 : i / (stops.length - 1)}" stop-color="${color}"/>`);
  gradients.push(`<${tag} id="${id}" ${attributes}>${list.join("")}</${tag}>`);
  return `url(#${id})`;
}

/** A fill from left to right: the roundness of things. */
export const across = (...stops) => keep("linearGradient", 'x1="0" x2="1" y1="0" y2="0"', stops);
/** A fill from top to bottom. */
export const down = (...stops) => keep("linearGradient", 'x1="0" x2="0" y1="0" y2="1"', stops);
/** A fill from a light in the upper left outwards. */
export const ball = (...stops) => keep("radialGradient", 'cx=".36" cy=".3" r=".8"', stops);

/** Light that fades out. */
export function glow(cx, cy, r, color, strength = 0.85) {
  const id = `g${gradients.length}`;
  gradients.push(`<radialGradient id="${id}"><stop offset="0" stop-color="${color}" stop-opacity="${strength}"/><stop offset="1" stop-color="${color}" stop-opacity="0"/></radialGradient>`);
  return circle(cx, cy, r, `url(#${id})`);
}

const more = (extra) => (extra === undefined ? "" : ` ${extra}`);
export const path = (d, fill, extra) => `<path d="${d}" fill="${fill}"${more(extra)}/>`;
export const line = (d, color, width, extra) =>
  `<path d="${d}" fill="none" stroke="${color}" stroke-width="${width}" stroke-linecap="round" stroke-linejoin="round"${more(extra)}/>`;
export const box = (x, y, w, h, r, fill, extra) => `<rect x="${x}" y="${y}" width="${w}" height="${h}" rx="${r}" fill="${fill}"${more(extra)}/>`;
export const circle = (cx, cy, r, fill, extra) => `<circle cx="${cx}" cy="${cy}" r="${r}" fill="${fill}"${more(extra)}/>`;
export const oval = (cx, cy, rx, ry, fill, extra) => `<ellipse cx="${cx}" cy="${cy}" rx="${rx}" ry="${ry}" fill="${fill}"${more(extra)}/>`;
export const turned = (angle, cx, cy, inner) => `<g transform="rotate(${angle} ${cx} ${cy})">${inner}</g>`;
export const placed = (x, y, scale, inner) => `<g transform="translate(${x} ${y}) scale(${scale})">${inner}</g>`;

/** The shadow under a thing that stands on the ground. */
export const shadow = (cx, rx, cy = GROUND, color = "#2b1d0e") => oval(cx, cy, rx, rx * 0.11 + 6, color, 'opacity=".28" filter="url(#soft)"');

/** `count` pieces made by `make(index, count)`. */
export const many = (count, make) => Array.from({ length: count }, (_, i) => make(i, count)).join("");

/** The same numbers each time, so that a drawing never changes by itself. */
export function dice(seed) {
  let state = seed;
  return () => {
    state = (state * 1103515245 + 12345) % 2147483648;
    return state / 2147483648;
  };
}
