// Games without places: boards, grids of colored cells, images, and a table of who did what.

/** Pieces of the teams on a board, or a grid of colored cells. */
class Board {
  constructor(replay) {
    const { width, height } = replay.episodes[0].scene;
    this.colors = colorsOfTeams(replay);
    this.aspect = (width + 0.5) / (height + 0.5);
  }

  draw(pen, { episode: { scene }, step }) {
    const cell = Math.min(pen.width / (scene.width + 0.5), pen.height / (scene.height + 0.5));
    const [left, top] = [(pen.width - cell * scene.width) / 2, (pen.height - cell * scene.height) / 2];
    const cells = scene.cellsAt[step];
    const before = scene.cellsAt[Math.max(step - 1, 0)];
    const margin = 0.12 * cell;
    const ground = { fill: css(scene.style === "grid" ? pen.colors.floor : pen.colors.board) };
    const corners = [[left - margin, top - margin], [pen.width - left + margin, pen.height - top + margin]];
    pen.rectangle(...corners, ground, 2 * margin);
    cells.forEach((value, place) => {
      const corner = [left + cell * (place % scene.width), top + cell * Math.floor(place / scene.width)];
      if (value === -1) this.blocked(pen, corner, cell);
      else if (scene.style === "grid") this.thing(pen, corner, cell, value);
      else this.piece(pen, corner, cell, value, value !== before[place]);
    });
  }

  piece(pen, [x, y], cell, value, isNew) {
    const center = [x + cell / 2, y + cell / 2];
    const color = this.colors[(value - 1) % this.colors.length];
    pen.circle(center, 0.41 * cell, { fill: css(pen.colors.floor), stroke: css(pen.colors.border, 0.35) });
    if (value > 0) {
      pen.circle(center, 0.39 * cell, { fill: css(color), stroke: css(darker(color)), width: 1.6 });
      pen.circle(center, 0.28 * cell, { stroke: css(WHITE, 0.4), width: 1.2 });
    }
    if (isNew) {
      pen.circle(center, 0.44 * cell, { stroke: css(pen.colors.ink), width: 2.4 });
      if (value > 0) pen.circle(center, 0.1 * cell, { fill: css(WHITE) });
    }
  }

  thing(pen, [x, y], cell, value) {
    const gap = 0.04 * cell;
    const color = value > 0 ? THING_COLORS[(value - 1) % THING_COLORS.length] : pen.colors.grid;
    pen.rectangle([x + gap, y + gap], [x + cell - gap, y + cell - gap], { fill: css(color) }, 0.12 * cell);
  }

  blocked(pen, [x, y], cell) {
    const gap = 0.06 * cell;
    const { context } = pen;
    context.save();
    pen.rectangle([x + gap, y + gap], [x + cell - gap, y + cell - gap], { fill: css(pen.colors.border, 0.25) }, gap);
    context.clip();
    for (let stripe = -cell; stripe < cell; stripe += cell / 4) {
      pen.path([[x + stripe, y + cell], [x + stripe + cell, y]], { stroke: css(pen.colors.border, 0.7), width: 1.2 });
    }
    context.restore();
  }
}

const FRAMES_AHEAD = 12;

/** Images of the game, decoded shortly before they are needed. `arrived` is called when one can be drawn. */
class Frames {
  constructor(replay, arrived) {
    const { width, height } = replay.episodes[0].scene;
    this.aspect = width / height;
    this.arrived = arrived;
    this.loaded = new Map();
  }

  draw(pen, { episode: { scene }, step }) {
    const { images } = scene;
    const last = Math.min(step + FRAMES_AHEAD, images.length - 1);
    for (let t = step + 1; t <= last; t++) if (images[t]) this.image(images[t]);
    const present = images.slice(0, step + 1).findLast((one) => one);
    const image = present && this.image(present);
    if (image?.complete && image.naturalWidth) this.latest = image;
    if (!this.latest) return;
    const scale = Math.min(pen.width / scene.width, pen.height / scene.height);
    const [width, height] = [scale * scene.width, scale * scene.height];
    pen.context.imageSmoothingEnabled = scale < 2; // larger pixels stay sharp
    pen.context.drawImage(this.latest, (pen.width - width) / 2, (pen.height - height) / 2, width, height);
  }

  image(base64) {
    if (!this.loaded.has(base64)) {
      const image = new Image();
      image.addEventListener("load", this.arrived);
      image.src = `data:image/png;base64,${base64}`;
      this.loaded.set(base64, image);
    }
    return this.loaded.get(base64);
  }
}

const MOST_BOXES = 8;
const LEAST_ROOM = 72; // pixels of a column: names do not fit into less, and numbers stand for them

/** Nothing to see: a column for every agent, with what it does and what it is paid for that. */
class Table {
  constructor(replay) {
    this.replay = replay;
    this.aspect = Math.min(Math.max(replay.agents.length / 3, 1), 1.8);
    this.colors = colorsOfTeams(replay);
    this.largest = largestReward(replay) || 1;
  }

  draw(pen, { episode, decision }, { selected }) {
    const margin = 0.03 * pen.width;
    const corners = [[margin, margin], [pen.width - margin, pen.height - margin]];
    pen.rectangle(...corners, { fill: css(pen.colors.floor) }, margin / 2);
    const room = (pen.width - 2 * margin) / this.replay.agents.length;
    this.replay.agents.forEach((agent, index) => {
      const column = { pen, room, x: margin + room * (index + 0.5), color: this.colors[agent.team] };
      if (index === selected) {
        const ends = [[column.x - room / 2 + 2, margin + 2], [column.x + room / 2 - 2, pen.height - margin - 2]];
        pen.rectangle(...ends, { fill: css(column.color, 0.1), stroke: css(column.color), width: 1.5 }, margin / 2);
      }
      this.agent(column, room < LEAST_ROOM ? String(index + 1) : agent.name);
      this.actions(column, episode.actions[index](decision));
      if (episode.steps) this.reward(column, episode.rewards(index, decision));
    });
  }

  agent({ pen, room, x, color }, name) {
    const r = Math.min(0.06 * pen.height, 0.3 * room);
    const y = 0.14 * pen.height;
    pen.shadow([x, y], r);
    pen.circle([x, y], r, { fill: css(color), stroke: css(darker(color)), width: 2 });
    pen.circle([x, y], 0.3 * r, { fill: css(WHITE) });
    pen.text([x, 0.245 * pen.height], name, { size: Math.max(0.032 * pen.height, 10), bold: true, room: 0.94 * room });
  }

  /** A box for every action, that of the chosen one filled; only the chosen one where there are too many. */
  actions({ pen, room, x, color }, chosen) {
    const names = this.replay.actions;
    const few = names.length > 0 && names.length <= MOST_BOXES && !Array.isArray(chosen);
    const boxes = few ? names : [actionText(this.replay, chosen)];
    const [top, bottom] = [0.3 * pen.height, 0.76 * pen.height];
    const high = Math.min((bottom - top) / boxes.length, 0.11 * pen.height);
    const half = Math.min(0.44 * room, 0.2 * pen.height);
    const start = (top + bottom - high * boxes.length) / 2;
    boxes.forEach((name, number) => {
      const y = start + high * (number + 0.5);
      const filled = few ? number === chosen : chosen !== null;
      const style = filled ? { fill: css(color), stroke: css(darker(color)) } : { stroke: css(pen.colors.border, 0.4) };
      pen.rectangle([x - half, y - 0.42 * high], [x + half, y + 0.42 * high], style, 0.2 * high);
      const ink = filled ? readableOn(color) : pen.colors.muted;
      const text = few && room < LEAST_ROOM ? String(number) : name;
      pen.text([x, y], text, { size: Math.max(0.4 * high, 9), color: ink, bold: filled, room: 1.9 * half });
    });
  }

  /** A bar from the middle, to the right for pay and to the left for a cost, and the number. */
  reward({ pen, room, x }, reward) {
    const [y, half, r] = [0.82 * pen.height, 0.36 * room, 0.009 * pen.height];
    pen.rectangle([x - half, y - r], [x + half, y + r], { fill: css(pen.colors.grid) }, r);
    const color = reward < 0 ? VERMILLION : GREEN;
    const [from, to] = [0, (half * reward) / this.largest].sort((a, b) => a - b);
    if (reward) pen.rectangle([x + from, y - r], [x + to, y + r], { fill: css(color) }, r);
    const size = 0.042 * pen.height;
    const ink = reward ? color : STONE;
    pen.text([x, y + 0.055 * pen.height], numberText(reward), { size, bold: true, room, color: ink });
  }

  agentAt(pen, [x]) {
    const margin = 0.03 * pen.width;
    const agent = Math.floor(((x - margin) / (pen.width - 2 * margin)) * this.replay.agents.length);
    return agent in this.replay.agents ? agent : null;
  }
}

function largestReward({ agents, episodes }) {
  let largest = 0;
  for (const { steps, rewards } of episodes) {
    for (let place = 0; place < steps * agents.length; place++) {
      largest = Math.max(largest, Math.abs(rewards(Math.floor(place / steps), place % steps)));
    }
  }
  return largest;
}

/** Black or white, whichever is read more easily on a color. */
function readableOn([red, green, blue]) {
  return 0.299 * red + 0.587 * green + 0.114 * blue > 150 ? LIGHT.ink : WHITE;
}

const SCENES = { particles: Particles, board: Board, frames: Frames, none: Table };

function sceneOf(replay, arrived) {
  const { kind } = replay.episodes[0].scene;
  if (!Object.hasOwn(SCENES, kind)) throw new Error(`it shows a scene of an unknown kind, ${kind}.`);
  return new SCENES[kind](replay, arrived);
}
