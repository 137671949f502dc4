// What stands beside a scene. A panel has a `node`, and `update(moment)` where it changes as time goes on.

/** Teams as a scoreboard: who plays them, what they have earned so far, and a button for each agent. */
class Teams {
  constructor({ replay, player, colors, scale }) {
    this.replay = replay;
    this.scale = scale;
    this.scores = replay.teams.map(() => make("span", { class: "score" }));
    this.adapted = replay.teams.map(() => make("span", { class: "badge", hidden: "" }));
    this.buttons = replay.agents.map(({ name }, agent) => makeButton(
      { class: "agent", text: agent + 1, title: name, "aria-label": `Select ${name}` }, () => player.select(agent)));
    this.player = player;
    const nodes = replay.teams.map((team, index) => this.team(team, index, colors[index]));
    this.node = make("div", { class: "teams" }, ...nodes);
  }

  team(team, index, color) {
    const played = [team.player, team.learner].filter(Boolean).join(" · ");
    const { status = [] } = this.replay;
    const failed = team.agents.filter((agent) => ["ERROR", "INVALID", "TIMEOUT"].includes(status[agent]));
    const troubles = failed.map((agent) => (
      make("span", { class: "badge trouble", text: `${agent + 1}: ${status[agent]}` })));
    const node = make("section", { class: "team", "aria-label": `Team ${team.name}` },
      make("div", { class: "names" }, make("strong", { text: team.name }), make("small", { text: played })),
      this.scores[index],
      make("div", { class: "agents" }, ...team.agents.map((agent) => this.buttons[agent]),
        this.adapted[index], ...troubles));
    setVariable(node, "--team", css(color));
    setVariable(node, "--on-team", css(readableOn(color)));
    return node;
  }

  update({ episode, step, decision }) {
    this.replay.teams.forEach((team, index) => {
      setText(this.scores[index], this.scale.text(episode.returns[index][step]));
      const note = episode.notes.find((one) => one.updates && one.agents.some((agent) => team.agents.includes(agent)));
      const times = note ? note.updates(decision) : 0;
      this.adapted[index].hidden = !note;
      setText(this.adapted[index], `adapted ${times} ${times === 1 ? "time" : "times"}`);
    });
    this.buttons.forEach((button, agent) => button.setAttribute("aria-pressed", agent === this.player.selected));
  }
}

/** The range of the returns of all replays, so that they can be compared, and how they are written. */
class Scale {
  constructor(replays) {
    [this.low, this.high] = [0, 0];
    let whole = true;
    for (const total of replays.flatMap(({ episodes }) => episodes.flatMap(({ returns }) => returns))) {
      for (const one of total) {
        [this.low, this.high] = [Math.min(this.low, one), Math.max(this.high, one)];
        whole &&= Math.abs(one - Math.round(one)) < 1e-6;
      }
    }
    const largest = Math.max(-this.low, this.high);
    this.digits = whole ? 0 : [100, 10].filter((size) => largest < size).length;
  }

  /** Where between the least (0) and the largest (1) a return is. */
  share(total) {
    return (total - this.low) / (this.high - this.low || 1);
  }

  text(total) {
    const rounded = total.toFixed(this.digits);
    return (Number(rounded) === 0 ? rounded.replace("-", "") : rounded).replace("-", "−");
  }
}

/** A button for every episode of a trial, with what each team earned in it. */
class Episodes {
  constructor({ replay, player, colors, scale }) {
    const totals = replay.episodes.map(({ returns }) => returns.map((total) => total.at(-1)));
    this.chips = totals.map((earned, index) => {
      const texts = earned.map((total) => scale.text(total));
      const bars = earned.map((total, team) => {
        const bar = make("i");
        setVariable(bar, "--team", css(colors[team]));
        setVariable(bar, "--from", scale.share(Math.min(total, 0)));
        setVariable(bar, "--size", Math.abs(scale.share(total) - scale.share(0)));
        return bar;
      });
      const said = texts.map((text, team) => `${replay.teams[team].name} ${text}`);
      const label = `Episode ${index + 1}: ${said.join(", ")}`;
      return makeButton({ class: "chip", title: label, "aria-label": label }, () => {
        player.seek(player.timeline.starts[index]);
      }, make("b", { text: index + 1 }), make("span", { class: "columns" }, ...bars),
      ...texts.map((text) => make("small", { text })));
    });
    this.node = make("div", { class: "chips" }, ...this.chips);
  }

  update({ index }) {
    if (index === this.index) return;
    this.chips[this.index]?.removeAttribute("aria-current");
    this.chips[index].setAttribute("aria-current", "true");
    this.index = index;
    this.node.scrollLeft = this.chips[index].offsetLeft - this.node.clientWidth / 2; // of many, show those around it
  }
}

/** A chart of what each team has earned within each episode; a press goes to that time. */
class Returns {
  constructor({ replay, player, colors, scale }) {
    const { timeline } = player;
    const end = Math.max(timeline.end, 1);
    const y = (total) => 100 - 100 * scale.share(total);
    const lines = replay.teams.map((_, team) => {
      const point = (total, t, k) => `${timeline.starts[k] + t} ${y(total).toFixed(2)}`;
      const path = replay.episodes.map(({ returns }, k) => (
        `M${Array.from(returns[team], (total, t) => point(total, t, k)).join("L")}`));
      const line = makeSvg("path", { d: path.join(""), class: "line" });
      setVariable(line, "--team", css(colors[team]));
      return line;
    });
    const separators = timeline.starts.slice(1).map((start) => (
      makeSvg("line", { x1: start - 0.5, x2: start - 0.5, y1: -4, y2: 104, class: "separator" })));
    const zero = makeSvg("line", { x1: 0, x2: end, y1: y(0), y2: y(0), class: "zero" });
    const svg = makeSvg("svg", { viewBox: `0 -4 ${end} 108`, preserveAspectRatio: "none", "aria-hidden": "true" },
      ...separators, zero, ...lines);
    svg.addEventListener("pointerdown", (event) => svg.setPointerCapture(event.pointerId));
    for (const kind of ["pointerdown", "pointermove"]) {
      svg.addEventListener(kind, ({ buttons, offsetX }) => {
        if (buttons) player.seek((offsetX / svg.clientWidth) * end);
      });
    }
    this.node = make("div", { class: "chart timed" }, svg,
      make("small", { class: "high", text: numberText(scale.high) }),
      make("small", { class: "low", text: numberText(scale.low) }));
  }
}

/** What the players believe about hidden rules, and how sure of the truth they have been over time. */
class Beliefs {
  constructor({ replay, player }) {
    this.replay = replay;
    this.player = player;
    this.whose = make("small");
    this.rules = make("div");
    this.node = panel("Beliefs about hidden rules", this.whose, this.rules);
  }

  update({ index, episode, decision }) {
    const thought = thoughtOf(episode, this.player.selected);
    const note = thought?.note.belief ? thought.note : episode.notes.find((one) => one.belief);
    this.node.hidden = !note;
    if (!note) return;
    const agent = note === thought?.note ? this.player.selected : null;
    const key = `${index} ${note.agents} ${agent}`;
    if (key !== this.key) this.build(note, agent);
    this.key = key;
    this.bars.forEach((bar, place) => bar.set(believed(note, agent, place, decision)));
  }

  build(note, agent) {
    const { replay } = this;
    const team = replay.teams[replay.agents[note.agents[0]].team].name;
    setText(this.whose, `${agent === null ? `mean of ${team}` : replay.entities[agent]}; ✓ is the truth`);
    this.bars = [];
    this.rules.replaceChildren(...note.rules.map(({ rule, name, values, truth }) => {
      const first = this.bars.length;
      const rows = values.map((value, i) => makeBars(value, [i === truth ? "belief true" : "belief"]));
      this.bars.push(...rows);
      const history = truth === undefined ? null : this.history(note, agent, first + truth);
      return make("div", { class: "rule" }, make("h4", { text: name ?? rule }),
        make("ul", {}, ...rows.map(({ node }) => node)), history);
    }));
  }

  history(note, agent, place) {
    const { timeline } = this.player;
    const lines = this.replay.episodes.flatMap((episode, k) => {
      const same = episode.notes.find((one) => one.belief && String(one.agents) === String(note.agents));
      const points = Array.from({ length: same ? episode.steps : 0 }, (_, t) => (
        `${timeline.starts[k] + t} ${(100 - 100 * believed(same, agent, place, t)).toFixed(1)}`));
      return points.length ? [`M${points.join("L")}`] : [];
    });
    const look = { viewBox: `0 -4 ${Math.max(timeline.end, 1)} 108`, preserveAspectRatio: "none", role: "img" };
    return make("div", { class: "history timed" },
      makeSvg("svg", { ...look, "aria-label": "How probable the truth was over time" },
        makeSvg("path", { class: "line", d: lines.join("") })));
  }
}

/** The probability that an agent, or on average its team, gives to a value. */
function believed(note, agent, place, t) {
  if (agent !== null) return note.belief(note.agents.indexOf(agent), place, t);
  return note.agents.reduce((sum, _, row) => sum + note.belief(row, place, t), 0) / note.agents.length;
}

/** What an agent's player said about it in an episode: the note, and the agent's row there. */
function thoughtOf(episode, agent) {
  const note = agent === null ? null : episode.notes.find((one) => one.agents.includes(agent));
  return note && { note, row: note.agents.indexOf(agent) };
}

function panel(title, ...children) {
  return make("section", { class: "panel" }, make("h3", { text: title }), ...children);
}

/** The rules: those that are not the default, and all that are hidden from the players. */
function rulesPanel({ game }) {
  const rules = (game.card ?? []).map(({ name, value, default: usual, hidden, about }) => {
    const differs = JSON.stringify(value) !== JSON.stringify(usual);
    return make("li", {},
      make("span", { class: "name", text: name }), make("b", { text: valueText(value) }),
      hidden ? make("span", { class: "badge", text: "hidden" }) : null,
      differs ? make("small", { text: `default ${valueText(usual)}` }) : null,
      about ? make("p", { text: about }) : null);
  });
  const heading = make("p", { class: "game" }, make("strong", { text: game.name }),
    game.variant_id ? make("code", { text: game.variant_id, title: "variant" }) : null);
  const given = Object.entries(game.kwargs ?? {}).map(([name, value]) => (
    make("li", {}, make("span", { class: "name", text: name }), make("b", { text: valueText(value) }))));
  const hint = game.family && !rules.length ? make("p", { class: "hint", text: "All rules are the default." }) : null;
  return panel("Rules", heading, make("ul", { class: "card" }, ...rules, ...given), hint);
}

/** What it takes to make this replay again, and what the players logged. */
function detailsPanel(replay) {
  const { made, game, teams, digest, version, series, logs } = replay;
  const facts = {
    "made by": made && Object.entries(made).map(([name, value]) => `${name} ${valueText(value)}`).join(", "),
    game: game.entry_point ? `${game.name}, ${game.entry_point}` : game.name,
    "stepped as": game.api,
    "seed of the game": game.seed !== undefined ? `${valueText(game.seed)}, game ${game.first_game ?? 0}` : undefined,
    "seeds of the episodes": replay.episodes.some(({ seed }) => seed != null)
      ? replay.episodes.map(({ seed }) => seed ?? "goes on").join(", ") : undefined,
    ...Object.fromEntries(teams.flatMap(({ name, seed, weights }) => [
      [`seed of ${name}`, seed], [`weights of ${name}`, weights]])),
    series: series && `${series.id}, ${series.index + 1} of ${series.of}`,
    format: version.join("."),
    digest,
  };
  const rows = Object.entries(facts).filter(([, value]) => value != null)
    .flatMap(([name, value]) => [make("dt", { text: name }), make("dd", { text: value })]);
  const logged = Object.entries(logs ?? {}).flatMap(([team, text]) => [
    make("h4", { text: `Log of ${team}` }), make("pre", { text, tabindex: 0 })]);
  const summary = make("summary", { text: "How this was made" });
  return make("details", { class: "panel" }, summary, make("dl", {}, ...rows), ...logged);
}
