// Colors and shapes, the same as in marl_meta/games/palette.py and drawing.py.

const BLUE = [0, 114, 178], ORANGE = [230, 159, 0], PURPLE = [204, 121, 167], GREEN = [0, 158, 115];
const SKY = [86, 180, 233], YELLOW = [240, 228, 66], VERMILLION = [213, 94, 0], STONE = [133, 128, 120];
const WHITE = [255, 255, 255], SHADOW = [40, 34, 26];

const TEAM_COLORS = [BLUE, ORANGE, PURPLE, GREEN, SKY, YELLOW];
const HUNTER_COLOR = VERMILLION;
const THING_COLORS = [BLUE, ORANGE, GREEN, PURPLE, SKY, VERMILLION, YELLOW, STONE];

const LIGHT = {
  outside: [233, 230, 223], floor: [251, 250, 247], grid: [238, 235, 228], border: [126, 121, 112], ink: [34, 34, 34],
  muted: [107, 103, 95], board: [203, 197, 184], attention: [96, 74, 196], influence: [158, 32, 94], trail: 0.2,
};
const DARK = {
  outside: [27, 28, 31], floor: [39, 41, 45], grid: [49, 51, 56], border: [140, 138, 132], ink: [236, 236, 233],
  muted: [165, 161, 153], board: [74, 77, 84], attention: [172, 156, 255], influence: [255, 138, 184], trail: 0.4,
};

const MARKS = ["disc", "triangle", "square", "diamond", "star"]; // in the middle of agents, by kind
const LOOKS = {
  obstacle: { shape: "rock", color: STONE },
  landmark: { shape: "target", color: null }, // in the color of ink
  forest: { shape: "grove", color: GREEN },
  food: { shape: "star", color: PURPLE },
  red: { shape: "diamond", color: VERMILLION },
  green: { shape: "triangle", color: GREEN },
  blue: { shape: "square", color: SKY },
};
const OTHER_LOOKS = [
  { shape: "pentagon", color: PURPLE }, { shape: "star", color: YELLOW },
  { shape: "diamond", color: GREEN }, { shape: "square", color: ORANGE },
];
const ON_THE_GROUND = ["grove", "target"]; // drawn first

const css = ([red, green, blue], opacity = 1) => `rgb(${red} ${green} ${blue} / ${opacity})`;
const darker = (color) => color.map((part) => Math.round(part * 0.62));
const isDark = () => (document.documentElement.style.colorScheme
  ? document.documentElement.style.colorScheme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches);
const theme = () => (isDark() ? DARK : LIGHT);

/** Hunters are red, as wherever people know these games from; other teams take turns. */
function colorsOfTeams(replay) {
  let others = 0;
  const hunts = (team) => team.agents.some((agent) => replay.agents[agent].kind === "adversary");
  return replay.teams.map((team) => (hunts(team) ? HUNTER_COLOR : TEAM_COLORS[others++ % TEAM_COLORS.length]));
}

function looksOfObjects(kinds) {
  const others = [...new Set(kinds)].filter((kind) => !Object.hasOwn(LOOKS, kind));
  return kinds.map((kind) => (Object.hasOwn(LOOKS, kind) ? LOOKS[kind]
    : OTHER_LOOKS[others.indexOf(kind) % OTHER_LOOKS.length]));
}

function marksOfAgents(agents) {
  const kinds = [...new Set(agents.map((agent) => agent.kind))];
  return agents.map((agent) => MARKS[kinds.indexOf(agent.kind) % MARKS.length]);
}
