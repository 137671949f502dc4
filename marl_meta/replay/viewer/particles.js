// Games of particles. The camera does not move: it shows the arena, with a margin.

const VIEW = 2.6; // width of the picture, in halves of the arena's width
const TRAIL = 8; // steps
const TICK = 3; // steps ahead: where the tick of an agent ends
const LONGEST_TICK = 0.36, SHORTEST_TICK = 0.015; // in halves of the arena's width
const LEAST_WEIGHT = 0.02; // of what an agent looks at, to be drawn

class Particles {
  constructor(replay) {
    this.replay = replay;
    this.aspect = 1;
    this.colors = colorsOfTeams(replay);
    this.marks = marksOfAgents(replay.agents);
    this.looks = looksOfObjects(replay.objects ?? []);
  }

  /** Where an entity is, between two steps on the line between its places. */
  place(entity, { episode: { scene }, step, fraction }) {
    const here = scene.place(entity, step);
    if (!fraction) return here;
    const there = scene.place(entity, step + 1);
    const moves = there.map((value, axis) => value - here[axis]);
    // An object that moves by more than its size has been put elsewhere: it did not fly there.
    if (entity >= this.marks.length && Math.hypot(...moves) > 2 * scene.radius[entity]) return here;
    return here.map((value, axis) => value + fraction * moves[axis]);
  }

  positions(moment) {
    return this.replay.entities.map((_, entity) => this.place(entity, moment));
  }

  /** How far an agent moves in a step, now: a mean of this step and the next, so that it turns smoothly. */
  motion(agent, { episode: { scene }, step, fraction }) {
    const after = (t) => {
      const from = Math.max(Math.min(t, scene.last - 1), 0);
      const [here, there] = [scene.place(agent, from), scene.place(agent, Math.min(from + 1, scene.last))];
      return there.map((value, axis) => value - here[axis]);
    };
    const next = after(step + 1);
    return after(step).map((value, axis) => (1 - fraction) * value + fraction * next[axis]);
  }

  /** `focus` says who is selected or pointed at, and how much the selected agent looks at each entity. */
  draw(pen, moment, focus) {
    const { scene, ended } = moment.episode;
    const camera = new Camera(pen, scene.arena ?? 1);
    camera.ground(scene.walls);
    const places = this.positions(moment);
    const first = this.marks.length;
    const shown = places.map((_, entity) => entity).filter((entity) => scene.isPresent(entity, moment.step));
    const layer = (entity) => (ON_THE_GROUND.includes(this.looks[entity - first].shape) ? 0 : 1);
    for (const entity of shown.filter((e) => e >= first).sort((a, b) => layer(a) - layer(b))) {
      const look = this.looks[entity - first];
      camera.thing(places[entity], scene.radius[entity], { ...look, color: look.color ?? pen.colors.ink });
    }
    const agents = shown.filter((entity) => entity < first);
    for (const agent of agents) this.trail(camera, agent, places[agent], moment);
    if (agents.includes(focus.selected)) this.looksAt(camera, places, shown, focus);
    for (const agent of agents) {
      const gone = ended.get(agent) <= moment.step && moment.step < scene.last;
      pen.context.globalAlpha = gone ? 0.35 : 1;
      const color = this.colors[this.replay.agents[agent].team];
      camera.agent(places[agent], scene.radius[agent], this.motion(agent, moment), color, this.marks[agent]);
      pen.context.globalAlpha = 1;
    }
    for (const agent of agents.filter((one) => one === focus.selected || one === focus.hovered)) {
      if (agent === focus.selected) camera.halo(places[agent], scene.radius[agent]);
      camera.label(places[agent], scene.radius[agent], this.replay.entities[agent]);
    }
  }

  trail(camera, agent, place, { episode: { scene }, step }) {
    const before = Array.from({ length: Math.min(TRAIL, step + 1) }, (_, back) => scene.place(agent, step - back));
    camera.trail([place, ...before], scene.radius[agent], this.colors[this.replay.agents[agent].team]);
  }

  looksAt(camera, places, shown, { selected, weights, color }) {
    for (const entity of shown) {
      const weight = entity === selected ? 0 : weights?.(entity) ?? 0;
      if (weight > LEAST_WEIGHT) camera.edge(places[selected], places[entity], weight, color);
    }
  }

  /** The agent at a point of the picture, or the one whose rim is near it. */
  agentAt(pen, point, moment) {
    const camera = new Camera(pen, moment.episode.scene.arena ?? 1);
    const reach = (agent) => Math.max(camera.size(moment.episode.scene.radius[agent], 5) + 6, 16);
    const distance = (agent) => {
      const [x, y] = camera.at(this.place(agent, moment));
      return Math.hypot(x - point[0], y - point[1]) / reach(agent);
    };
    const present = this.marks.flatMap((_, agent) => (
      moment.episode.scene.isPresent(agent, moment.step) ? [[distance(agent), agent]] : []));
    const nearest = present.sort(([a], [b]) => a - b)[0];
    return nearest?.[0] < 1 ? nearest[1] : null;
  }
}

/** From places in a game to points of a picture. */
class Camera {
  constructor(pen, arena) {
    this.pen = pen;
    this.arena = arena;
    this.scale = pen.width / (VIEW * arena);
  }

  at([x, y]) {
    return [this.pen.width / 2 + x * this.scale, this.pen.height / 2 - y * this.scale];
  }

  size(radius, least) {
    return Math.max(radius * this.scale, least * this.pen.line);
  }

  ground(walls) {
    const { pen, arena } = this;
    const [low, high] = [this.at([-arena, arena]), this.at([arena, -arena])];
    pen.rectangle(low, high, { fill: css(pen.colors.floor) });
    for (const place of [-arena / 2, 0, arena / 2]) {
      const style = { stroke: css(pen.colors.grid) };
      pen.path([this.at([place, arena]), this.at([place, -arena])], style);
      pen.path([this.at([-arena, place]), this.at([arena, place])], style);
    }
    const border = css(pen.colors.border);
    const margin = 1.25 * pen.line;
    const outer = [[low[0] - margin, low[1] - margin], [high[0] + margin, high[1] + margin]];
    if (walls) return pen.rectangle(...outer, { stroke: border, width: 2.5 });
    pen.context.setLineDash([(high[0] - low[0]) / 40]);
    pen.rectangle(low, high, { stroke: border, width: 1.2 });
    return pen.context.setLineDash([]);
  }

  thing(place, radius, { shape, color }) {
    const { pen } = this;
    const [center, r] = [this.at(place), this.size(radius, 4)];
    const rim = css(darker(color));
    if (this.beyond(place, radius, color)) return;
    if (shape === "grove") pen.circle(center, r, { fill: css(color, 0.27), stroke: css(color, 0.5), width: 1.5 });
    else if (shape === "target") this.target(center, r, color);
    else if (shape === "rock") {
      pen.shadow(center, r);
      pen.circle(center, r, { fill: css(color), stroke: rim, width: 1.8 });
      pen.circle(polar(center, 0.12 * r, 0.375), 0.72 * r, { fill: css(WHITE, 0.1) });
    } else {
      pen.circle(center, r, { fill: css(color, 0.16) }); // what counts as touching it
      pen.polygon(center, 0.98 * r, shape, { fill: css(color), stroke: rim, width: 1.3 });
    }
  }

  target(center, r, color) {
    const stroke = css(color);
    this.pen.circle(center, r, { fill: css(color, 0.09), stroke, width: 1.6 });
    for (let angle = 0; angle < 4; angle++) {
      this.pen.path([0.45, 1.5].map((share) => polar(center, share * r, angle / 4)), { stroke, width: 1.6 });
    }
    this.pen.circle(center, 0.18 * r, { fill: stroke });
  }

  agent(place, radius, motion, color, mark) {
    if (this.beyond(place, radius, color)) return;
    const { pen } = this;
    const [center, r] = [this.at(place), this.size(radius, 5)];
    pen.shadow(center, r);
    this.tick(center, r, motion, color);
    pen.circle(center, r, { fill: css(color), stroke: css(darker(color)), width: 2.6 });
    pen.circle(center, r - 0.4 * pen.line, { stroke: css(WHITE), width: 1.4 });
    if (mark === "disc") pen.circle(center, 0.3 * r, { fill: css(WHITE, 0.92) });
    else pen.polygon(center, 0.46 * r, mark, { fill: css(WHITE) });
  }

  /** The tick ends where the agent would be after three steps, at most so far. */
  tick(center, r, motion, color) {
    const length = Math.min(TICK * Math.hypot(...motion), LONGEST_TICK * this.arena);
    if (length < SHORTEST_TICK * this.arena) return;
    const turn = Math.atan2(motion[1], motion[0]) / TURN;
    const width = Math.min(Math.max(0.22 * r, 1.5 * this.pen.line), 4 * this.pen.line);
    const flanks = [0.25, -0.25].map((side) => polar(polar(center, 0.8 * r, turn), width, turn + side));
    const tip = polar(center, r + length * this.scale, turn);
    this.pen.path([flanks[0], tip, flanks[1]], { fill: css(isDark() ? color : darker(color)) });
  }

  /** A ribbon from where an agent is to where it was, which ends in a point. */
  trail(places, radius, color) {
    const points = places.map((place) => this.at(place));
    const flanks = points.map(([x, y], i) => {
      const [before, after] = [points[Math.max(i - 1, 0)], points[Math.min(i + 1, points.length - 1)]];
      const [dx, dy] = [after[0] - before[0], after[1] - before[1]];
      const width = (0.6 * this.size(radius, 5) * (1 - i / (points.length - 1))) / (Math.hypot(dx, dy) || 1);
      return [[x + dy * width, y - dx * width], [x - dy * width, y + dx * width]];
    });
    const ribbon = [...flanks.map(([one]) => one), ...flanks.map(([, other]) => other).reverse()];
    this.pen.path(ribbon, { fill: css(color, this.pen.colors.trail) });
  }

  edge(from, to, weight, color) {
    const style = { stroke: css(color, 0.25 + 0.65 * Math.min(weight, 1)), width: 1 + 8 * Math.min(weight, 1) };
    this.pen.path([this.at(from), this.at(to)], style);
  }

  halo(place, radius) {
    const { pen } = this;
    const r = this.size(radius, 5) + 4.5 * pen.line;
    pen.circle(this.at(place), r, { stroke: css(pen.colors.ink, 0.85), width: 1.6 });
  }

  label(place, radius, text) {
    const [x, y] = this.at(place).map((value) => within(value, 0, this.pen.width)); // at the edge where it is beyond
    const below = this.size(radius, 5) + 14 * this.pen.line;
    const side = y + below > this.pen.height - 8 * this.pen.line ? -1 : 1;
    this.pen.text([x, y + side * below], text, { rim: this.pen.colors.floor, bold: true, room: 0.6 * this.pen.width });
  }

  /** Whether an entity is outside the picture; if so, an arrowhead at the edge points to it. */
  beyond(place, radius, color) {
    const limit = this.pen.width / (2 * this.scale);
    const far = Math.max(...place.map(Math.abs));
    if (far - radius < limit) return false;
    const { line } = this.pen;
    const shrink = (limit - (10 * line) / this.scale) / far;
    const center = this.at(place.map((value) => value * shrink));
    const turn = Math.atan2(place[1], place[0]) / TURN;
    const corners = [[9, 0], [8, 0.38], [8, -0.38]].map(([reach, side]) => polar(center, reach * line, turn + side));
    this.pen.path(corners, { fill: css(color), stroke: css(darker(color)) });
    return true;
  }
}
