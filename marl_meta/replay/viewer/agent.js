// The selected agent: what it does, what it earns, and what its player says it thinks.

/** How much an agent looks at an entity, by the chosen head of attention or by their mean. */
function attentionTo({ note, row }, head, entity, t) {
  if (head !== null) return note.attention(row, head, entity, t);
  let sum = 0;
  for (let one = 0; one < note.heads; one++) sum += note.attention(row, one, entity, t);
  return sum / note.heads;
}

/** What is drawn from the selected agent to others: attention or influence, whichever is chosen and known. */
function lookOf(thought, { shown, head }, t) {
  const known = [shown, "attention", "influence"].find((kind) => thought?.note[kind]);
  if (known === "attention") return { kind: known, weights: (entity) => attentionTo(thought, head, entity, t) };
  if (known) return { kind: known, weights: (entity) => thought.note.influence(thought.row, entity, t) };
  return { kind: null, weights: null };
}

const EXPLANATIONS = {
  attention: "How much the agent looks at each entity. Attention alone does not explain what it does.",
  influence: "How far the probabilities of its actions move when the agent does not see that entity.",
};

const MOST_BARS = 16;
const SMALLEST_BAR = 0.005;

/** From where on bars are shown: where there are many, the longest of those that can be seen at all. */
function leastShown(shares) {
  if (shares.length <= MOST_BARS) return -Infinity;
  const longest = shares.filter((share) => share != null).sort((one, other) => other - one);
  return Math.max(longest[MOST_BARS - 1] ?? 0, SMALLEST_BAR);
}

class AgentPanel {
  constructor({ replay, player, colors }) {
    Object.assign(this, { replay, player, colors });
    this.body = make("div");
    this.node = panel("Agent", this.body);
    this.node.classList.add("thinking");
  }

  update(moment) {
    const { selected, shown, head } = this.player;
    const agent = selected in this.replay.agents ? selected : null;
    const thought = thoughtOf(moment.episode, agent);
    const key = [moment.index, agent, shown, head].join();
    if (key !== this.key) this.build(agent, thought);
    this.key = key;
    if (agent !== null) this.parts.forEach((show) => show(moment, agent, thought));
  }

  build(agent, thought) {
    this.parts = [];
    if (agent === null) {
      const text = "Press on an agent or on its number to see what it does and thinks.";
      this.body.replaceChildren(make("p", { class: "hint", text }));
      return;
    }
    const note = thought?.note;
    this.body.replaceChildren(...[
      this.name(agent),
      this.facts(note),
      note ? null : make("p", { class: "hint", text: "Its player does not say what it thinks." }),
      note?.probability ? this.probabilities() : null,
      note?.attention || note?.influence ? this.looks(note) : null,
    ].filter(Boolean));
  }

  name(agent) {
    const { team, kind, name } = this.replay.agents[agent];
    const described = [...new Set([kind, this.replay.teams[team].name])].filter((word) => word && word !== name);
    const node = make("p", { class: "who" }, make("i"), make("strong", { text: name }),
      make("small", { text: described.join(" · ") }));
    setVariable(node, "--team", css(this.colors[team]));
    return node;
  }

  facts(note) {
    const fact = (label) => {
      const value = make("dd");
      return { value, label: make("dt", { text: label }) };
    };
    const [action, reward] = [fact("action"), fact("reward")];
    const value = note?.value ? fact("value") : null;
    if (value) value.label.title = "the return that the critic expects from here on";
    this.parts.push(({ episode, step, decision }, agent, thought) => {
      if (!episode.steps) return;
      setText(action.label, step < episode.steps ? "action" : "last action");
      setText(action.value, actionText(this.replay, episode.actions[agent](decision)));
      setText(reward.value, numberText(episode.rewards(agent, decision)));
      if (value) setText(value.value, numberText(thought.note.value(thought.row, decision)));
    });
    const parts = [action, reward, value].filter(Boolean);
    return make("dl", { class: "facts" }, ...parts.map((one) => make("div", {}, one.label, one.value)));
  }

  probabilities() {
    const rows = this.replay.actions.map((name) => makeBars(name, ["chance"]));
    this.parts.push(({ episode, decision }, agent, { note, row }) => {
      const chosen = episode.actions[agent](decision);
      const chances = rows.map((_, action) => note.probability(row, action, decision));
      const least = leastShown(chances);
      rows.forEach((bars, action) => {
        bars.set(chances[action]);
        bars.node.classList.toggle("chosen", chosen === action);
        bars.node.hidden = action !== chosen && chances[action] < least;
      });
    });
    return make("div", {}, make("h4", { text: "Probabilities of its actions" }),
      make("ul", { class: "probabilities" }, ...rows.map(({ node }) => node)));
  }

  looks(note) {
    const kinds = ["attention", "influence"].filter((kind) => note[kind]);
    const shown = lookOf({ note }, this.player, 0).kind;
    const rows = this.replay.entities.map((name) => makeBars(name, kinds));
    this.parts.push(({ decision }, agent, thought) => {
      const looks = kinds.map((kind) => lookOf(thought, { shown: kind, head: this.player.head }, decision));
      const weights = rows.map((_, entity) => looks.map((look) => look.weights(entity)));
      const least = kinds.map((_, kind) => leastShown(weights.map((each) => each[kind])));
      rows.forEach((bars, entity) => {
        bars.set(...weights[entity]);
        bars.node.classList.toggle("itself", entity === agent);
        bars.node.hidden = entity !== agent && weights[entity].every((weight, kind) => weight < least[kind]);
      });
    });
    const heads = make("li", { class: "bars heads" }, make("span"),
      ...kinds.map((kind) => make("span", { class: `number ${kind}`, text: kind })));
    return make("div", {}, make("h4", { text: "What it looks at" }),
      this.choice("Lines show", kinds.map((kind) => [kind, kind]), shown, (kind) => { this.player.shown = kind; }),
      shown === "attention" && note.heads > 1 ? this.heads(note.heads) : null,
      make("p", { class: "hint", text: EXPLANATIONS[shown] }),
      make("ul", { class: `entities of-${kinds.length}` }, heads, ...rows.map(({ node }) => node)));
  }

  heads(count) {
    const options = [["all", null], ...Array.from({ length: count }, (_, head) => [String(head + 1), head])];
    return this.choice("Heads", options, this.player.head, (head) => { this.player.head = head; });
  }

  /** Buttons of which one is pressed. */
  choice(label, options, current, choose) {
    const buttons = options.map(([text, value]) => makeButton(
      { text, "aria-pressed": value === current, "aria-label": `${label}: ${text}` }, () => {
        choose(value);
        this.player.changed();
      }));
    return make("div", { class: "choice", role: "group", "aria-label": label },
      make("small", { text: label }), make("span", {}, ...buttons));
  }
}
