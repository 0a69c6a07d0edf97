// One studio for each category: what stands behind its things.
import { box, circle, down, GROUND, glow, line, many, path } from "./brush.mjs";

const FLOOR = 585;
const all = (fill) => box(0, 0, 800, 800, 0, fill);

export const backdrops = {
  kitchen: () => all(down("#efe1cb", "#e7d3b4")) + path("M170 585V330a230 230 0 0 1 460 0v255z", "#f7eddc") + box(0, FLOOR, 800, 215, 0, down("#cfab7d", "#bd9463"))
    + line("M0 650H800M0 722H800", "#b2885a", 2, 'opacity=".5"'),
  lighting: () => all(down("#27354a", "#3c4c63")) + glow(400, 340, 430, "#f6c987", 0.4) + box(0, FLOOR + 15, 800, 200, 0, down("#2a3547", "#1f2938")),
  living: () => all(down("#cfd8c8", "#c1ccba")) + path("M90 60h190l140 525H230z", "#dfe6d6", 'opacity=".75"') + path("M310 60h190l140 525H450z", "#dfe6d6", 'opacity=".75"')
    + box(0, FLOOR, 800, 215, 0, down("#b99a74", "#a98861")) + box(0, FLOOR - 16, 800, 16, 0, "#eef0e8"),
  garden: () => all(down("#dcebe3", "#cfe2cd")) + path("M0 470q90-120 200-60 80-130 210-40 110-110 210-10 110-50 180 60v400H0z", "#a5c59a")
    + path("M0 560q160-70 330-30t470-20v290H0z", "#86ab7a") + path("M0 620q260-40 800-10v190H0z", "#8d6f4f"),
  outdoor: () => all(down("#cfe3ec", "#f2e6d5")) + circle(610, 190, 62, "#f7c77b") + path("M-40 560 170 250l120 150 120-190 180 250 90-100 180 210v80H-40z", "#93b1bd")
    + path("M-40 590 90 450l150 90 170-150 180 130 110-70 140 120v60H-40z", "#6d929d") + path("M0 585q220-50 430-14t370-6v235H0z", down("#8ea778", "#748e60")),
  bath: () => all(down("#ead9d3", "#e4cfc8")) + many(9, (i) => line(`M0 ${i * 84 - 20}H800M${i * 100} 0V585`, "#f6ebe7", 5)) + box(0, FLOOR, 800, 215, 0, down("#f7f1ec", "#e3d6cd"))
    + box(0, FLOOR, 800, 10, 0, "#fffaf6"),
  desk: () => all(down("#e9c986", "#e3bd73")) + circle(400, 345, 245, "#f1d8a0") + box(0, FLOOR, 800, 215, 0, down("#8f5f3c", "#7a4e30")) + box(0, FLOOR, 800, 9, 0, "#a97650"),
};

export { GROUND };
