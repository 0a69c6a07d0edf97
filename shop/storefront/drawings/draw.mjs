// Draws every picture of the shop into public/. Run it with `npm run draw` after a change; the pictures are kept in git.
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { backdrops } from "./backdrops.mjs";
import { bath } from "./bath.mjs";
import { begin, box, circle, definitions, down, glow, line, many, path, placed } from "./brush.mjs";
import { desk } from "./desk.mjs";
import { garden } from "./garden.mjs";
import { kitchen } from "./kitchen.mjs";
import { lighting } from "./lighting.mjs";
import { living } from "./living.mjs";
import { outdoor } from "./outdoor.mjs";

const things = { kitchen, lighting, living, garden, outdoor, bath, desk };
const OF_CATEGORY = {
  kitchen: "stovetop-kettle", lighting: "mushroom-table-lamp", living: "three-legged-stool", garden: "watering-can",
  outdoor: "two-person-tent", bath: "amber-soap-bottle", desk: "pencil-pot",
};

const publicDir = new URL("../public/", import.meta.url);
const products = JSON.parse(readFileSync(new URL("../../seed/products.json", import.meta.url), "utf8"));

function save(name, view, draw) {
  begin();
  const inner = draw();
  const [width, height] = view.split(" ").slice(2);
  const svg = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="${view}" width="${width}" height="${height}">${definitions()}${inner}</svg>\n`;
  writeFileSync(new URL(name, publicDir), svg);
}

for (const folder of ["images/products/", "images/categories/"]) mkdirSync(new URL(folder, publicDir), { recursive: true });
for (const { slug, category } of products) {
  const draw = things[category]?.[slug];
  if (draw === undefined) throw new Error(`nobody has drawn ${slug} yet: add it to drawings/${category}.mjs`);
  save(`images/products/${slug}.svg`, "0 0 800 800", () => backdrops[category]() + draw());
}
for (const [category, slug] of Object.entries(OF_CATEGORY)) {
  save(`images/categories/${category}.svg`, "0 80 800 660", () => backdrops[category]() + things[category][slug]());
}

save("images/hero.svg", "0 0 1080 840", () => {
  const shelf = box(60, 760, 1020, 26, 6, down("#c79563", "#a5733f")) + box(60, 786, 1020, 14, 0, "#000", 'opacity=".12"');
  const back = path("M120 786V430a380 380 0 0 1 760 0v356z", down("#f3d9ae", "#e8bf86")) + circle(720, 240, 84, "#e98a4f") + glow(300, 430, 300, "#fff2d2", 0.9);
  return back + placed(-40, 154, 0.95, lighting["mushroom-table-lamp"]()) + placed(356, 340, 0.66, kitchen["stovetop-kettle"]())
    + placed(657, 365, 0.62, garden["terracotta-pot"]()) + placed(26, 532, 0.36, desk["pencil-pot"]()) + shelf;
});

save("images/lost.svg", "0 0 520 400", () => circle(380, 110, 46, "#e08a55") + path("M60 300q80-170 150-150 40 10 70 60 60-40 180 90z", "#3f7f6c") + path("M60 300q60-60 130-50t120 20 150 30z", "#2d6353")
  + line("M255 196v-60", "#5b3a21", 8) + path("M255 84l44 66h-88z", "#24584a") + path("M255 56l34 54h-68z", "#2f6d5c") + many(3, (i) => line(`M${40 + i * 34} ${322 + i * 24}h${440 - i * 68}`, "#7ba9b8", 7)));

save("favicon.svg", "0 0 32 32", () => box(0, 0, 32, 32, 7, "#134438") + circle(21.5, 10, 4, "#f0a27e") + path("M4 21c4-9 6.500-10.500 10-5.500 2.500-3.500 6-3 14 5.500z", "#b4e3d0") + line("M5 25h22", "#fffdf9", 2));
writeFileSync(new URL("robots.txt", publicDir), "User-agent: *\nDisallow: /account\nDisallow: /admin\nDisallow: /cart\nDisallow: /checkout\nDisallow: /orders\n");
