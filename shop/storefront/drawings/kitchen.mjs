import { across, ball, box, circle, dice, down, line, many, oval, path, shadow, turned } from "./brush.mjs";

const wood = () => across("#8a5a34", "#c08a56", "#9a6a3f");
const steel = () => across("#8f979c", "#eef2f3", "#b9c1c5", "#7d868b");

export const kitchen = {
  "enamel-mug": () => {
    const roll = dice(7);
    const body = "M240 300h290l-14 318q-2 24-26 24H280q-24 0-26-24z";
    return shadow(390, 190) + line("M522 360c110-20 130 160-8 172", "#23496b", 34) + line("M522 360c110-20 130 160-8 172", "#3c6a90", 16)
      + path(body, across("#1f4263", "#3f72a0", "#2d5a82", "#193653"))
      + many(70, () => { const x = 262 + roll() * 240; const y = 330 + roll() * 290; return circle(x.toFixed(0), y.toFixed(0), (1.5 + roll() * 3).toFixed(1), "#dbe7f0", 'opacity=".75"'); })
      + oval(385, 300, 147, 34, "#f5f0e6") + oval(385, 304, 132, 26, "#d9d0c0") + oval(385, 312, 112, 18, "#5b3a22")
      + line("M238 300a147 34 0 0 0 294 0", "#16304a", 9)
      + line("M350 240q-26-36 4-68t2-62M420 240q-26-36 4-68t2-62", "#fffaf0", 10, 'opacity=".7"');
  },
  "cast-iron-skillet": () => shadow(370, 270, 650)
    + turned(-28, 400, 430, box(560, 408, 210, 46, 22, down("#3a3a3d", "#222225")) + oval(735, 431, 15, 10, "#cfab7d"))
    + oval(350, 470, 262, 190, "#19191b") + oval(350, 458, 262, 190, down("#46464a", "#29292c")) + oval(350, 456, 226, 158, ball("#3a3a3e", "#1c1c1f"))
    + path("M240 440c-10-70 70-110 130-88s130 20 120 92-70 110-140 98-102-36-110-102z", "#fffdf6") + circle(372, 446, 48, ball("#ffd25e", "#ee9a1c")) + oval(356, 428, 16, 10, "#fff3c4", 'opacity=".9"')
    + path("M88 420l-26 8 30 30zM612 430l28 10-32 26z", "#303033"),
  "stovetop-kettle": () => shadow(400, 240)
    + line("M250 345C250 130 550 130 550 345", "#3a3532", 16) + line("M312 190q88-54 176 0", "#b98550", 34)
    + path("M575 440q70-20 96-128l44 14q-20 150-140 210z", across("#aab3b7", "#e5eaec", "#8c969b"))
    + path("M190 560q0-240 210-240t210 240q0 80-40 80H230q-40 0-40-80z", steel()) + oval(400, 334, 98, 22, "#c5cdd0") + oval(400, 328, 98, 22, "#edf1f2") + circle(400, 300, 22, ball("#d9a368", "#8a5a34"))
    + path("M250 430q20-60 76-82-42 60-46 200-46-30-30-118z", "#ffffff", 'opacity=".55"') + box(212, 616, 376, 24, 10, "#7d868b"),
  "pour-over-set": () => shadow(400, 180)
    + path("M290 640q-40-10-30-80l40-110h200l40 110q10 70-30 80z", "#dfeef0", 'opacity=".75"') + path("M274 560h252q8 66-26 72H300q-36-6-26-72z", across("#3b2112", "#6b3f22", "#3b2112")) + line("M302 452l-40 108q-10 76 30 80h216q40-4 30-80l-40-108", "#9fb9bd", 7)
    + line("M316 470l-24 90", "#ffffff", 12, 'opacity=".8"') + box(268, 420, 264, 32, 14, "#e8e2d6")
    + path("M236 220h328l-118 206h-92z", across("#cfc7b8", "#fffaf0", "#d8d0c2")) + line("M560 258c90-10 86 104-42 90", "#d8d0c2", 24) + oval(400, 220, 164, 32, "#fffaf0") + oval(400, 222, 146, 24, "#e9dcc4") + oval(400, 230, 118, 16, "#4a2c18")
    + many(5, (i) => line(`M${300 + i * 50} 262l${(2 - i) * 9} 130`, "#d8d0c2", 4, 'opacity=".8"')),
  "chefs-knife": () => shadow(400, 300, 560) + turned(-18, 400, 430,
    path("M90 452q150-100 250-104h150v104q-240 26-400 0z", down("#f5f7f8", "#c3cbd0")) + path("M90 452q210 20 400-20v20q-240 26-400 0z", "#ffffff") + line("M150 416q100-48 190-50h140", "#ffffff", 4)
    + box(486, 344, 34, 96, 6, steel()) + path("M518 350h170q34 0 34 34 0 44-26 50-70-8-178-2z", down("#8b5a35", "#5b371e")) + circle(566, 392, 9, "#e2c79a") + circle(620, 392, 9, "#e2c79a") + circle(674, 394, 9, "#e2c79a"))
    + many(7, (i) => circle(180 + i * 62, 690 - (i % 3) * 12, 21, ball("#ff8a5c", "#c43c1c"))) + many(7, (i) => circle(176 + i * 62, 684 - (i % 3) * 12, 5, "#ffd8c4")),
  "oak-cutting-board": () => {
    const roll = dice(3);
    const tones = ["#c9975f", "#d8ab73", "#b9854f", "#cfa067", "#c08d56"];
    const blocks = many(6, (r) => many(8, (k) => box(200 + k * 50, 270 + r * 62, 49, 61, 4, tones[Math.floor(roll() * 5)])));
    return shadow(400, 270) + turned(-7, 400, 430, box(188, 258, 424, 396, 34, "#8d6035") + box(188, 246, 424, 396, 34, "#cfa067") + `<g clip-path="inset(0 round 30px)">${blocks}</g>`
      + path("M340 250q0-110 60-110t60 110z", "#c9975f") + circle(400, 190, 22, "#f3e4c9") + circle(400, 190, 22, "none", 'stroke="#8d6035" stroke-width="6"') + box(188, 246, 424, 396, 34, "none", 'stroke="#8d6035" stroke-width="6"'))
      + line("M470 470q50-90 150-110M520 410q4-40 36-58M556 384q40-6 66 10", "#3f7a3a", 9) + many(6, (i) => oval(500 + i * 26, 452 - i * 19, 24, 11, i % 2 ? "#5c9a4e" : "#478640", `transform="rotate(${i % 2 ? -70 : 10} ${500 + i * 26} ${452 - i * 19})"`));
  },
  "stoneware-bowl": () => shadow(400, 240) + path("M150 400q0 236 250 240 250-4 250-240z", across("#274e63", "#5b93a8", "#37687e", "#20404f")) + path("M156 470q40 60 110 50t120 30 130-20 126-60q-30 168-242 170-208-2-244-170z", "#c9b79a", 'opacity=".55"')
    + oval(400, 400, 250, 66, "#7fb3c4") + oval(400, 404, 230, 54, down("#1f4253", "#3f7589")) + circle(310, 396, 54, ball("#ffb45e", "#dd6a1b")) + circle(410, 376, 62, ball("#f7d25a", "#d79a1a")) + circle(500, 400, 50, ball("#ffb45e", "#dd6a1b")) + line("M410 316q6-20 22-24", "#5b3a1c", 8) + path("M428 300q40-30 66-6-34 24-66 6z", "#5c9a4e")
    + path("M172 424a230 54 0 0 0 456 0q-20 34-228 36t-228-36z", "#3f7589") + box(310, 628, 180, 16, 8, "#b09c7e"),
  "pepper-mill": () => {
    const roll = dice(11);
    return shadow(400, 110) + circle(400, 168, 40, ball("#f0d2a6", "#a9743f")) + box(388, 112, 24, 24, 8, steel())
      + path("M330 262q-8-58 70-62 78 4 70 62-6 40-36 58h-68q-30-18-36-58z", across("#a9743f", "#e9c28e", "#b98550")) + box(352, 318, 96, 16, 6, steel())
      + path("M352 334h96q-20 60 14 120t30 186H308q-4-126 30-186t14-120z", across("#a06c3a", "#eac694", "#c9975f", "#96642f")) + line("M330 560h140M322 600h156", "#96642f", 4, 'opacity=".6"') + path("M372 344q12 60-14 116t-24 160h26q-2-110 20-160t6-116z", "#fff3dc", 'opacity=".4"')
      + many(16, () => circle((200 + roll() * 400).toFixed(0), (660 + roll() * 60).toFixed(0), (5 + roll() * 5).toFixed(1), "#2b211a"));
  },
};
