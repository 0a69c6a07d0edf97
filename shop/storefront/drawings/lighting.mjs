import { across, ball, box, circle, down, glow, line, many, oval, path, shadow, turned } from "./brush.mjs";

const dark = "#0b111b";

export const lighting = {
  "desk-lamp": () => glow(285, 430, 270, "#ffdf9e", 0.75) + path("M180 372 60 640h330l-70-300z", "#ffe7b0", 'opacity=".35"') + shadow(520, 150, 640, dark)
    + oval(520, 632, 132, 26, "#8c3a22") + oval(520, 622, 132, 26, across("#b5502f", "#e88a63", "#b5502f")) + line("M520 616 612 400 420 236", "#e6ded2", 17) + line("M500 612 590 400 410 250", "#8f8a84", 6) + circle(610, 400, 22, "#b5502f") + circle(610, 400, 9, "#f2d9c9") + circle(420, 236, 20, "#b5502f")
    + turned(32, 340, 290, path("M240 350q0-140 100-150t100 150z", across("#a34526", "#ea8f67", "#b5502f")) + oval(340, 350, 100, 22, "#fff1c9") + circle(340, 346, 26, "#fffdf0")) ,
  "paper-pendant": () => line("M400 0V180", "#10182a", 7) + glow(400, 370, 360, "#ffdc9a", 0.75) + box(374, 160, 52, 36, 8, "#c9b58e")
    + oval(400, 372, 250, 190, ball("#fff9e8", "#f7dfae", "#d9ab67")) + many(13, (i) => { const y = 190 + i * 30; const half = 250 * Math.sqrt(Math.max(0, 1 - ((y - 372) / 190) ** 2)); return half > 8 ? line(`M${(400 - half).toFixed(0)} ${y}q${half.toFixed(0)} 22 ${(half * 2).toFixed(0)} 0`, "#c99a58", 3, 'opacity=".65"') : ""; })
    + oval(400, 556, 66, 12, "#fffbe9") + oval(400, 700, 210, 26, "#ffdc9a", 'opacity=".18"'),
  "mushroom-table-lamp": () => glow(400, 400, 360, "#ffe0a6", 0.7) + shadow(400, 150, 640, dark) + oval(400, 632, 118, 24, "#3f6d5e") + oval(400, 622, 118, 24, across("#4f8a76", "#86bda8", "#4f8a76")) + path("M372 400h56l12 222h-80z", across("#3f7563", "#8cc4ae", "#447c69"))
    + path("M170 400q10-210 230-214 220 4 230 214-230 40-460 0z", ball("#fffdf3", "#ffecc2", "#f2c77d")) + path("M170 400q230 40 460 0-4 26-230 28t-230-28z", "#fff4d4") + path("M236 330q20-86 104-110-60 50-72 120z", "#ffffff", 'opacity=".8"'),
  "tripod-floor-lamp": () => glow(400, 250, 330, "#ffdc9a", 0.7) + shadow(400, 190, 700, dark) + line("M396 350 262 706", "#a87543", 20) + line("M404 350 538 706", "#c9935c", 20) + line("M400 350v352", "#dcaa72", 20) + line("M338 520h124", "#7a5530", 8) + box(372, 336, 56, 30, 8, "#d9c7a2")
    + path("M292 130h216l62 210H230z", across("#e7cf9f", "#fff6dc", "#f3dcae", "#d6b57c")) + oval(400, 340, 170, 24, "#fff8e2") + oval(400, 130, 108, 14, "#fffbea") + many(9, (i) => line(`M${308 + i * 23} 140 ${250 + i * 37.5} 334`, "#d9bd86", 2, 'opacity=".6"')),
  "beeswax-candles": () => { const candle = (x, top, w) => glow(x, top - 62, 130, "#ffcf70", 0.8) + box(x - w / 2, top, w, 636 - top, 10, across("#c98f2c", "#f7cf76", "#dba543", "#b27c22")) + oval(x, top + 4, w / 2, 14, "#ffe3a3") + path(`M${x - w / 2} ${top + 6}q10 60 20 8t16 4q6 80 16 0l${w - 52} -6z`, "#f9d88a")
    + line(`M${x} ${top}v-22`, "#3a2a1a", 6) + path(`M${x} ${top - 108}q40 52 22 84-22 24-44 0-18-32 22-84z`, down("#fff3c0", "#ffb02e")) + path(`M${x} ${top - 70}q16 26 8 42-8 10-16 0-8-16 8-42z`, "#fffdf0");
    return shadow(400, 250, 645, dark) + oval(400, 640, 252, 34, "#5a4a3a") + oval(400, 630, 252, 34, across("#7d6850", "#b3987a", "#7d6850")) + candle(280, 400, 92) + candle(520, 350, 92) + candle(400, 270, 100); },
  "storm-lantern": () => glow(400, 440, 300, "#ffcf70", 0.75) + shadow(400, 150, 645, dark) + line("M256 300C250 60 550 60 544 300", "#9aa5aa", 11) + path("M330 210h140l20 66H310z", across("#71808a", "#cfd9de", "#71808a")) + box(352, 176, 96, 36, 10, across("#71808a", "#cfd9de", "#71808a"))
    + path("M310 300h180q60 100 0 210H310q-60-110 0-210z", "#fff1cf", 'opacity=".5"') + path("M400 350q54 70 28 116-28 30-56 0-26-46 28-116z", down("#fff3c0", "#ff9f1c")) + path("M400 404q22 36 12 58-12 14-24 0-10-22 12-58z", "#fffdf0") + line("M310 300q-60 110 0 210M490 300q60 110 0 210M276 400h248", "#b9c5cb", 7) + path("M318 318q-34 90 0 170h18q-32-84 0-170z", "#ffffff", 'opacity=".6"')
    + line("M252 300v300M548 300v300", "#84929a", 16) + box(288, 270, 224, 32, 10, "#a9b6bc") + path("M262 510h276l22 130H240z", across("#5f6d76", "#c3ced4", "#74838c", "#55636b")) + oval(400, 512, 138, 18, "#cfd9de") + circle(540, 576, 15, "#c8773c") + line("M468 522l16 0", "#55636b", 12),
};
