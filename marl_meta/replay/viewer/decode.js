// From the text in the page to numbers. The format is described in replays/FORMAT.md.

const NEWEST_VERSION = 2;
const CHARACTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
const VALUES = new Int8Array(128).fill(-1);
[...CHARACTERS].forEach((character, value) => { VALUES[character.charCodeAt(0)] = value; });

const NUMBER_TYPES = {
  float32: Float32Array, float64: Float64Array, int8: Int8Array, uint8: Uint8Array, int16: Int16Array,
  uint16: Uint16Array, int32: Int32Array, uint32: Uint32Array, int64: BigInt64Array, uint64: BigUint64Array,
};

/** A replay, from its file in base64. Throws an Error with a sentence for people where it cannot be read. */
async function readReplay(base64) {
  const bytes = bytesOf(base64);
  let file;
  try {
    const unzipped = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    file = JSON.parse(await new Response(unzipped).text());
  } catch {
    throw new Error("This replay cannot be read: its file is damaged.");
  }
  if (file?.format !== "marl-meta replay") throw new Error("This file is not a replay of marl-meta.");
  if (!(file.version?.[0] <= NEWEST_VERSION)) {
    throw new Error(`This replay has version ${file.version} of the format; this page reads up to ${NEWEST_VERSION}.`);
  }
  try {
    return replayOf(file);
  } catch (error) {
    throw new Error(`This replay cannot be read: ${error.message}`);
  }
}

function bytesOf(base64) {
  const text = atob(base64);
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return bytes;
}

/** The whole numbers of a packed text. */
function unpack(text, count) {
  if (Array.isArray(text)) return Float64Array.from(text.flat(Infinity)); // version 1 did not pack
  const numbers = new Float64Array(text.length);
  let found = 0, joined = 0, unit = 1;
  for (let i = 0; i < text.length; i++) {
    const value = VALUES[text.charCodeAt(i)];
    if (!(value >= 0)) throw new Error("a packed list of numbers holds a character that is none of its 64.");
    joined += (value & 31) * unit; // no shifts: numbers may be larger than 32 bits
    unit *= 32;
    if (value > 31) continue;
    numbers[found++] = joined % 2 ? -(joined + 1) / 2 : joined / 2;
    joined = 0;
    unit = 1;
  }
  if (unit > 1) throw new Error("a packed list of numbers ends in the middle of a number.");
  if (count !== undefined && found !== count) {
    throw new Error(`a packed list holds ${found} numbers where ${count} are needed.`);
  }
  return numbers.subarray(0, found);
}

const product = (shape) => shape.reduce((size, length) => size * length, 1);

/** Series of numbers, each of which was written as its first number and then differences. */
function unpackDeltas(text, shape) {
  const numbers = unpack(text, product(shape));
  const length = shape.at(-1);
  for (let i = 0; i < numbers.length; i++) if (i % length) numbers[i] += numbers[i - 1];
  return numbers;
}

/** Series of numbers, written as keyframes, first differences, and differences of differences. */
function unpackMoves(text, shape, keyframe) {
  const numbers = unpack(text, product(shape));
  const length = shape.at(-1);
  for (let i = 0; i < numbers.length; i++) {
    const place = (i % length) % keyframe;
    if (place === 1) numbers[i] += numbers[i - 1];
    if (place > 1) numbers[i] += 2 * numbers[i - 1] - numbers[i - 2];
  }
  return numbers;
}

/** A function from indices to the numbers of a part of the file, or null where the file lacks that part. */
function lookUp(part, shape) {
  if (!part) return null;
  const unit = part.unit ?? 1 / part.levels;
  const numbers = unpackDeltas(part.values, shape);
  return (...place) => unit * numbers[place.reduce((at, index, axis) => at * shape[axis] + index, 0)];
}

/** What the page shows: the file, its teams with the indices of their agents, and its episodes. */
function replayOf(file) {
  const teams = file.teams.map((team, index) => ({
    ...team,
    agents: file.agents.flatMap((agent, i) => (agent.team === index ? [i] : [])),
  }));
  const replay = { ...file, teams, entities: namesOfEntities(file) };
  replay.episodes = file.episodes.map((episode) => episodeOf(replay, episode));
  if (!replay.episodes.length) throw new Error("it holds no episode.");
  return replay;
}

/** Agents have names; of objects the first is called "obstacle 1", unless it is the only one of its kind. */
function namesOfEntities({ agents, objects = [] }) {
  const seen = {};
  const many = (kind) => objects.filter((other) => other === kind).length > 1;
  return [
    ...agents.map((agent) => agent.name),
    ...objects.map((kind) => (many(kind) ? `${kind} ${(seen[kind] = (seen[kind] ?? 0) + 1)}` : kind)),
  ];
}

function episodeOf(replay, raw) {
  const N = replay.agents.length;
  const T = raw.steps;
  const rewards = Array.isArray(raw.rewards) ? (agent, t) => raw.rewards[agent][t] ?? 0 : lookUp(raw.rewards, [N, T]);
  return {
    ...raw,
    rewards,
    ended: new Map((raw.ends ?? []).map(([agent, step]) => [agent, step])),
    actions: actionsOf(raw.actions, N, T),
    returns: replay.teams.map((team) => running(team.agents, rewards, T)),
    scene: sceneNumbers(raw.scene, replay.entities.length, T),
    notes: (raw.notes ?? []).map((note) => noteOf(note, replay, T)),
  };
}

/** What agents have earned together before each moment 0..T. */
function running(agents, rewards, T) {
  const total = new Float64Array(T + 1);
  for (let t = 0; t < T; t++) total[t + 1] = agents.reduce((sum, agent) => sum + rewards(agent, t), total[t]);
  return total;
}

/** For every agent a function from a step to its action: a number, a list of numbers, or null where it does not act. */
function actionsOf(groups, N, T) {
  if (groups.length && Array.isArray(groups[0])) return groups.map((list) => (t) => list[t] ?? null); // version 1
  const actions = Array(N).fill(() => null);
  for (const group of groups) {
    const act = "chosen" in group ? chosenActions(group, T) : listedActions(group, T);
    group.agents.forEach((agent, row) => { actions[agent] = (t) => act(row * T + t); });
  }
  return actions;
}

function chosenActions(group, T) {
  const chosen = unpack(group.chosen, group.agents.length * T);
  return (place) => (chosen[place] ? chosen[place] - 1 : null);
}

function listedActions(group, T) {
  const acts = unpack(group.acts, group.agents.length * T);
  const size = product(group.shape);
  const numbers = new NUMBER_TYPES[group.dtype](bytesOf(group.numbers).buffer);
  let count = 0;
  const starts = acts.map((one) => (one ? size * count++ : -1));
  return (place) => (acts[place] ? Array.from(numbers.subarray(starts[place], starts[place] + size), Number) : null);
}

function sceneNumbers(raw, E, T) {
  if (raw.kind === "particles") return particleNumbers(raw, E, T);
  if (raw.kind === "board") return { ...raw, cellsAt: cellsOf(raw) };
  return raw;
}

function particleNumbers(raw, E, T) {
  const shape = [E, 2, T + 1];
  const unpacked = () => unpackMoves(raw.places, shape, raw.keyframe).map((number) => number * raw.unit);
  const plain = () => Float64Array.from({ length: product(shape) }, (_, i) => // version 1: [T+1][E][2]
    raw.places[i % (T + 1)][Math.floor(i / (2 * (T + 1)))][Math.floor(i / (T + 1)) % 2]);
  const places = Array.isArray(raw.places) ? plain() : unpacked();
  const present = raw.present && unpack(raw.present, E * (T + 1));
  return {
    ...raw,
    last: T,
    place: (entity, t) => [0, 1].map((axis) => places[(2 * entity + axis) * (T + 1) + t]),
    isPresent: (entity, t) => !present || present[entity * (T + 1) + t] === 1,
  };
}

/** The cells of a board at every moment. Boards that are equal are one array. */
function cellsOf(raw) {
  let cells = null;
  return raw.cells.map((list, t) => {
    const numbers = unpack(list);
    if (t % raw.keyframe === 0) return (cells = numbers);
    if (numbers.length) cells = cells.slice();
    for (let i = 0; i < numbers.length; i += 2) cells[numbers[i]] = numbers[i + 1];
    return cells;
  });
}

/** What the players of a team thought; every part is a function of indices, or null. */
function noteOf(note, replay, T) {
  const n = note.agents.length;
  const E = replay.entities.length;
  const heads = note.attention?.heads ?? 0;
  const rules = note.beliefs?.rules ?? [];
  const W = rules.reduce((sum, rule) => sum + rule.values.length, 0);
  return {
    agents: note.agents,
    heads,
    rules,
    attention: lookUp(note.attention, [n, heads, E, T]),
    influence: lookUp(note.influence, [n, E, T]),
    probability: lookUp(note.probabilities, [n, replay.actions.length, T]),
    value: lookUp(note.value, [n, T]),
    belief: lookUp(note.beliefs, [n, W, T]),
    updates: note.updates === undefined ? null : lookUp({ unit: 1, values: note.updates }, [T]),
  };
}
