// Drawing: the few shapes that pictures of games are made of.

const TURN = 2 * Math.PI;
/** Polygons: corners, and the turn of the first. */
const SIDES = { triangle: [3, 0.25], square: [4, 0.125], diamond: [4, 0.25], pentagon: [5, 0.25] };

/** The point at a distance and in a direction, in full turns anticlockwise from the right. */
const polar = ([x, y], r, turn) => [x + r * Math.cos(TURN * turn), y - r * Math.sin(TURN * turn)];

const within = (x, margin, size) => Math.min(Math.max(x, margin), Math.max(size - margin, margin));

/** A canvas in pixels of the page, sharp on every screen. `line` is the unit of widths. */
class Pen {
  constructor(canvas) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d");
  }

  /** Begin a new picture. */
  begin() {
    const { canvas, context } = this;
    const ratio = window.devicePixelRatio || 1;
    this.width = canvas.clientWidth;
    this.height = canvas.clientHeight;
    const [width, height] = [Math.round(this.width * ratio), Math.round(this.height * ratio)];
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.lineCap = context.lineJoin = "round";
    this.colors = theme();
    this.line = Math.max(Math.min(this.width, this.height) / 400, 0.8);
    this.rectangle([0, 0], [this.width, this.height], { fill: css(this.colors.outside) });
  }

  paint({ fill, stroke, width = 1 }) {
    const { context } = this;
    if (fill) {
      context.fillStyle = fill;
      context.fill();
    }
    if (stroke) {
      context.strokeStyle = stroke;
      context.lineWidth = width * this.line;
      context.stroke();
    }
  }

  rectangle([left, top], [right, bottom], style, corner = 0) {
    this.context.beginPath();
    this.context.roundRect(left, top, right - left, bottom - top, corner);
    this.paint(style);
  }

  circle([x, y], r, style) {
    this.context.beginPath();
    this.context.arc(x, y, Math.max(r, 0), 0, TURN);
    this.paint(style);
  }

  path(points, style) {
    this.context.beginPath();
    points.forEach(([x, y]) => this.context.lineTo(x, y));
    if (style.fill) this.context.closePath();
    this.paint(style);
  }

  polygon(center, r, shape, style) {
    const [sides, first] = SIDES[shape] ?? [10, 0.25];
    const reach = (i) => (shape === "star" ? r * (i % 2 ? 0.5 : 1.05) : r);
    this.path(Array.from({ length: sides }, (_, i) => polar(center, reach(i), first + i / sides)), style);
  }

  shadow([x, y], r) {
    this.circle([x + 1.2 * this.line, y + 2.2 * this.line], r + this.line, { fill: css(SHADOW, 0.18) });
  }

  /** Write a text in the middle of a point, as wide as `room` at most, on a rim that keeps it readable. */
  text([x, y], text, { size = 11 * this.line, color = this.colors.ink, rim = null, bold = false, room = 1e9 } = {}) {
    const { context } = this;
    context.font = `${bold ? 600 : 400} ${size}px system-ui, sans-serif`;
    context.textAlign = "center";
    context.textBaseline = "middle";
    const short = this.shortened(text, room);
    const half = context.measureText(short).width / 2 + 3;
    const [left, top] = [within(x, half, this.width), within(y, 0.7 * size, this.height)];
    if (rim) {
      context.strokeStyle = css(rim, 0.9);
      context.lineWidth = size / 3.5;
      context.strokeText(short, left, top);
    }
    context.fillStyle = css(color);
    context.fillText(short, left, top);
  }

  shortened(text, room) {
    let short = text;
    while (short.length > 1 && this.context.measureText(short).width > room) {
      short = `${short.replace(/…$/, "").slice(0, -1)}…`;
    }
    return short;
  }
}
