"use strict";
// Tabs of the pictures.
for (const box of document.querySelectorAll(".pictures")) {
  const show = name => {
    for (const part of box.querySelectorAll("[data-view]")) part.classList.toggle("on", part.dataset.view === name);
  };
  box.addEventListener("click", event => event.target.matches("button") && show(event.target.dataset.view));
  const first = box.querySelector("button");
  if (first) show(first.dataset.view);
}

// A small point viewer: every point is projected and drawn into a z-buffer, then the box edges as lines.
const bytes = text => Uint8Array.from(atob(text), character => character.charCodeAt(0));
const unpack = packed => ({ xyz: new Int16Array(bytes(packed.xyz).buffer), rgb: bytes(packed.rgb) });
const data = JSON.parse(document.getElementById("clouds").textContent);
const scene = unpack(data.scene);
const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
const EDGES = [[0, 1], [2, 3], [4, 5], [6, 7], [0, 2], [1, 3], [4, 6], [5, 7], [0, 4], [1, 5], [2, 6], [3, 7]];
const VOID = [16, 22, 29];

class Viewer {
  constructor(canvas, target) {
    this.canvas = canvas;
    this.target = { ...unpack(target), boxes: target.boxes };
    this.center = target.center;
    const [x, y, z] = this.center;
    // The first view is along the camera's own line of sight, at a distance that shows the whole target.
    this.yaw0 = Math.atan2(x, z);
    this.pitch0 = Math.atan2(y, Math.hypot(x, z));
    this.distance = Math.max(3.8 * target.radius, 350);
    this.yaw = 0.35;
    this.pitch = 0.18;
    this.swing = !still;
    this.visible = false;
    this.dirty = true;
    this.listen();
  }

  listen() {
    const canvas = this.canvas;
    canvas.addEventListener("pointerdown", event => { canvas.setPointerCapture(event.pointerId); this.swing = false; });
    canvas.addEventListener("pointermove", event => {
      if (!event.buttons) return;
      this.turn(event.movementX * 0.008, event.movementY * 0.008);
    });
    canvas.addEventListener("wheel", event => { event.preventDefault(); this.zoom(Math.exp(event.deltaY * 0.001)); }, { passive: false });
    canvas.addEventListener("keydown", event => {
      const step = { ArrowLeft: [-0.1, 0], ArrowRight: [0.1, 0], ArrowUp: [0, -0.1], ArrowDown: [0, 0.1] }[event.key];
      if (step) { event.preventDefault(); this.turn(...step); }
      if (event.key === "+" || event.key === "-") this.zoom(event.key === "+" ? 0.9 : 1.1);
    });
    new IntersectionObserver(([entry]) => { this.visible = entry.isIntersecting; this.dirty = true; }).observe(canvas);
    new ResizeObserver(() => { this.dirty = true; }).observe(canvas);
  }

  turn(yaw, pitch) {
    this.swing = false;
    this.yaw += yaw;
    this.pitch = Math.max(-1.5, Math.min(1.5, this.pitch + pitch));
    this.dirty = true;
  }

  zoom(factor) {
    this.swing = false;
    this.distance = Math.max(120, Math.min(12000, this.distance * factor));
    this.dirty = true;
  }

  // Rows of the rotation from the camera's optical frame (x right, y down, z forward) to the view.
  rotation() {
    const cy = Math.cos(this.yaw0), sy = Math.sin(this.yaw0), cp = Math.cos(this.pitch0), sp = Math.sin(this.pitch0);
    // First make the line of sight the z axis, ...
    const a = [[cy, 0, -sy], [-sp * sy, cp, -sp * cy], [cp * sy, sp, cp * cy]];
    const c = Math.cos(this.yaw), s = Math.sin(this.yaw), d = Math.cos(this.pitch), t = Math.sin(this.pitch);
    // ... then turn about the vertical, then about the horizontal.
    const b = [[c, 0, s], [t * s, d, -t * c], [-d * s, t, d * c]];
    return b.map(row => [0, 1, 2].map(k => row[0] * a[0][k] + row[1] * a[1][k] + row[2] * a[2][k]));
  }

  draw(time) {
    if (!this.visible || !(this.dirty || this.swing)) return;
    this.dirty = false;
    if (this.swing) this.yaw = 0.35 * Math.cos(time / 2600);
    const ratio = Math.min(devicePixelRatio || 1, 2);
    const width = Math.round(this.canvas.clientWidth * ratio), height = Math.round(this.canvas.clientHeight * ratio);
    if (!width || !height) return;
    if (this.canvas.width !== width || this.canvas.height !== height) {
      this.canvas.width = width;
      this.canvas.height = height;
      this.depth = new Float32Array(width * height);
    }
    const context = this.canvas.getContext("2d");
    const image = context.createImageData(width, height);
    const pixels = new Uint32Array(image.data.buffer);
    pixels.fill(0xff000000 | VOID[2] << 16 | VOID[1] << 8 | VOID[0]);
    this.depth.fill(Infinity);
    const view = { m: this.rotation(), focal: 1.15 * Math.min(width, height), width, height, pixels };
    this.splat(scene, view, 0.42, ratio);
    this.splat(this.target, view, 1, ratio);
    context.putImageData(image, 0, 0);
    this.edges(context, view, ratio);
  }

  splat(cloud, { m, focal, width, height, pixels }, strength, ratio) {
    const { xyz, rgb } = cloud, [cx, cy, cz] = this.center, zbuffer = this.depth;
    // Drawn size of a point: what it covers of the surface (its spacing grows with its distance from the camera).
    const spacing = strength < 1 ? 0.0068 : 0.0032;
    for (let i = 0; i < xyz.length; i += 3) {
      const x = xyz[i] - cx, y = xyz[i + 1] - cy, z = xyz[i + 2] - cz;
      const depth = m[2][0] * x + m[2][1] * y + m[2][2] * z + this.distance;
      if (depth < 60) continue;
      const u = width / 2 + focal * (m[0][0] * x + m[0][1] * y + m[0][2] * z) / depth;
      const v = height / 2 + focal * (m[1][0] * x + m[1][1] * y + m[1][2] * z) / depth;
      const side = Math.max(1, Math.min(9, Math.round(focal * spacing * xyz[i + 2] / depth)));
      const left = Math.round(u - side / 2), top = Math.round(v - side / 2);
      if (left < 0 || top < 0 || left + side > width || top + side > height) continue;
      const mix = channel => VOID[channel] + (rgb[i + channel] - VOID[channel]) * strength;
      const color = 0xff000000 | mix(2) << 16 | mix(1) << 8 | mix(0);
      // Target points win over the scene's own copy of the same surface.
      const nearness = strength < 1 ? depth + 12 : depth;
      for (let row = top; row < top + side; row++) {
        for (let k = row * width + left, end = k + side; k < end; k++) {
          if (nearness < zbuffer[k]) { zbuffer[k] = nearness; pixels[k] = color; }
        }
      }
    }
  }

  edges(context, { m, focal, width, height }, ratio) {
    context.strokeStyle = "#ffd23f";
    context.lineWidth = 1.5 * ratio;
    for (const box of this.target.boxes) {
      const corners = box.map(point => {
        const [x, y, z] = point.map((value, axis) => value - this.center[axis]);
        const depth = Math.max(60, m[2][0] * x + m[2][1] * y + m[2][2] * z + this.distance);
        const at = row => focal * (m[row][0] * x + m[row][1] * y + m[row][2] * z) / depth;
        return [width / 2 + at(0), height / 2 + at(1)];
      });
      context.beginPath();
      for (const [from, to] of EDGES) { context.moveTo(...corners[from]); context.lineTo(...corners[to]); }
      context.stroke();
    }
  }
}

const viewers = [...document.querySelectorAll("canvas[data-cloud]")].map(
  canvas => new Viewer(canvas, data.targets[canvas.dataset.cloud])
);
const frame = time => { for (const viewer of viewers) viewer.draw(time); requestAnimationFrame(frame); };
requestAnimationFrame(frame);
