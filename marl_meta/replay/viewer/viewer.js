// One view for each replay, the controls that they share, and what starts it all.

/** A replay with its scene and panels. */
class View {
  constructor(replay, player, scale) {
    Object.assign(this, { replay, player, scale, colors: colorsOfTeams(replay), hovered: null });
    this.scene = sceneOf(replay, () => this.draw());
    this.canvas = make("canvas", { role: "img", "aria-label": `The game. ${replay.agents.length} agents.` });
    this.pen = new Pen(this.canvas);
    this.returns = new Returns(this);
    const episodes = replay.episodes.length > 1 ? new Episodes(this) : null;
    const [teams, agent, beliefs] = [new Teams(this), new AgentPanel(this), new Beliefs(this)];
    this.panels = [teams, episodes, agent, beliefs].filter(Boolean);
    this.timed = [this.returns.node, beliefs.node];
    const known = [panel("Returns", episodes?.node, this.returns.node), beliefs.node, rulesPanel(replay)];
    known[0].classList.add("returns");
    const panels = [make("div", {}, ...known), make("div", {}, agent.node, detailsPanel(replay))];
    this.node = make("article", { class: "replay" }, make("h2", { text: titleOf(replay) }),
      make("div", { class: "sides" },
        make("div", { class: "stage" }, teams.node, this.canvas), make("div", { class: "panels" }, ...panels)));
    setVariable(this.node, "--aspect", this.scene.aspect);
    this.listen();
  }

  listen() {
    const agentAt = ({ offsetX, offsetY }) => this.scene.agentAt?.(this.pen, [offsetX, offsetY], this.moment) ?? null;
    this.canvas.addEventListener("click", (event) => {
      const agent = agentAt(event);
      if (agent !== null || this.player.selected !== null) this.player.select(agent ?? this.player.selected);
    });
    this.canvas.addEventListener("pointermove", (event) => this.point(agentAt(event)));
    this.canvas.addEventListener("pointerleave", () => this.point(null));
    new ResizeObserver(() => this.draw()).observe(this.canvas);
  }

  point(agent) {
    if (agent === this.hovered) return;
    this.hovered = agent;
    this.canvas.style.cursor = agent === null ? "" : "pointer";
    this.draw();
  }

  /** Show the present moment: the scene on every frame, panels where something in them has changed. */
  update() {
    const { time, timeline, selected, shown, head } = this.player;
    this.moment = timeline.moment(this.replay, time);
    this.draw();
    for (const node of this.timed) setVariable(node, "--at", timeline.share(time)); // where their playheads are
    const key = [this.moment.index, this.moment.step, selected, shown, head].join();
    if (key !== this.key) this.panels.forEach((one) => one.update(this.moment));
    this.key = key;
  }

  draw() {
    if (!this.moment || !this.canvas.clientWidth) return;
    const { selected } = this.player;
    const { kind, weights } = lookOf(thoughtOf(this.moment.episode, selected), this.player, this.moment.decision);
    this.pen.begin();
    const color = kind && this.pen.colors[kind];
    this.scene.draw(this.pen, this.moment, { selected, hovered: this.hovered, weights, color });
  }
}

/** Its title, else who played, and where nobody knows that, as what. */
function titleOf({ title, teams }) {
  return title ?? teams.map(({ name, player }) => (player && player !== "unknown" ? player : name)).join(" against ");
}

const find = (id) => document.getElementById(id);

/** The bar with the playhead, which all replays share. */
class Controls {
  constructor(player, longest) {
    Object.assign(this, { player, longest });
    this.slider = find("time");
    this.slider.max = player.timeline.end;
    find("ticks").append(...player.timeline.starts.slice(1).map((start) => {
      const tick = make("i");
      setVariable(tick, "--at", player.timeline.share(start));
      return tick;
    }));
    find("speed").append(...SPEEDS.map((speed) => make("option", { value: speed, text: `${speed}×` })));
    this.commands = {
      play: () => player.toggle(),
      back: () => player.step(-1),
      forth: () => player.step(1),
      loop: () => { player.loop = !player.loop; player.changed(); },
      theme: () => { document.documentElement.style.colorScheme = isDark() ? "light" : "dark"; player.changed(); },
      help: () => (find("keys").open ? find("keys").close() : find("keys").showModal()),
    };
    this.listen();
  }

  listen() {
    const { player } = this;
    for (const [id, command] of Object.entries(this.commands)) find(id).addEventListener("click", command);
    find("close").addEventListener("click", this.commands.help);
    this.slider.addEventListener("input", () => {
      const time = Number(this.slider.value); // before a pause puts the slider back to where the playhead was
      player.pause();
      player.seek(time);
    });
    find("speed").addEventListener("change", ({ target }) => { player.speed = Number(target.value); });
    document.addEventListener("keydown", (event) => this.press(event));
    // A button that was pressed by a pointer would take the space key, which is to play and pause.
    document.addEventListener("click", ({ detail, target }) => { if (detail) target.closest?.("button")?.blur(); });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => player.changed());
  }

  press(event) {
    const { player, commands } = this;
    const keys = {
      " ": commands.play, ArrowLeft: commands.back, ",": commands.back, ArrowRight: commands.forth, ".": commands.forth,
      Home: () => player.seek(0), End: () => player.seek(player.timeline.end), l: commands.loop, "?": commands.help,
      "[": () => player.skip(-1), "]": () => player.skip(1), "-": () => player.faster(-1), "+": () => player.faster(1),
      "=": () => player.faster(1), t: commands.theme, Escape: () => player.select(null),
      a: () => { player.shown = player.shown === "attention" ? "influence" : "attention"; player.changed(); },
    };
    const digit = Number(event.key);
    const command = digit >= 1 ? () => this.selectByKey(digit - 1) : keys[event.key];
    const { tagName } = event.target;
    const takesSpace = event.key === " " && ["BUTTON", "SUMMARY", "SELECT"].includes(tagName);
    const takesArrows = event.key.startsWith("Arrow") && ["SELECT", "PRE"].includes(tagName);
    const elsewhere = find("keys").open && event.key !== "?";
    // On some keyboards brackets are typed with AltGr, which counts as Control and Alt.
    const ofBrowser = (event.ctrlKey || event.metaKey || event.altKey) && !event.getModifierState("AltGraph");
    if (!command || takesSpace || takesArrows || elsewhere || ofBrowser) return;
    event.preventDefault();
    command();
  }

  selectByKey(agent) {
    if (agent < this.longest.agents.length) this.player.select(agent);
  }

  update() {
    const { time, timeline, playing, speed, loop } = this.player;
    this.slider.value = time;
    setVariable(this.slider, "--at", timeline.share(time));
    const { index, episode, step } = timeline.moment(this.longest, time);
    setText(find("episode"), timeline.starts.length > 1 ? `episode ${index + 1}/${timeline.starts.length}` : "");
    setText(find("step"), `step ${step}/${episode.steps}`);
    // Not while it plays: people who listen to the page would hear nothing else.
    if (!playing) this.slider.setAttribute("aria-valuetext", find("clock").textContent);
    find("play").classList.toggle("playing", playing);
    find("play").setAttribute("aria-label", playing ? "Pause" : "Play");
    find("loop").setAttribute("aria-pressed", loop);
    find("speed").value = speed;
  }
}

/** A page without a title has that of its replay, which then need not be said twice. */
function nameThePage(views) {
  const title = document.querySelector("h1");
  if (title.textContent) return;
  title.textContent = views.length > 1 ? "Replays" : titleOf(views[0].replay);
  if (views.length === 1) views[0].node.querySelector("h2").remove();
}

/** What the page offers to scripts, and to tests. */
function offer(player, views) {
  window.viewer = {
    get time() { return player.time; },
    get end() { return player.timeline.end; },
    get playing() { return player.playing; },
    get speed() { return player.speed; },
    get selected() { return player.selected; },
    play: () => player.play(),
    pause: () => player.pause(),
    seek: (time) => player.seek(time),
    select: (agent) => player.select(agent),
    positions: (index = 0) => views[index].scene.positions?.(views[index].moment) ?? [],
  };
}

async function start() {
  const files = [...document.querySelectorAll("script.replay")];
  const read = await Promise.allSettled(files.map((file) => readReplay(file.textContent.trim())));
  const replays = read.flatMap(({ value }) => value ?? []);
  const main = document.querySelector("main");
  for (const { reason } of read.filter((one) => one.reason)) {
    main.append(make("p", { class: "problem", role: "alert", text: reason.message }));
  }
  if (!replays.length) return;
  const refresh = () => [...views, controls].forEach((one) => one.update());
  const player = new Player(new Timeline(replays), refresh);
  const scale = new Scale(replays);
  const views = replays.map((replay) => new View(replay, player, scale));
  const longest = replays.reduce((one, other) => (other.episodes.length > one.episodes.length ? other : one));
  const controls = new Controls(player, longest);
  main.append(...views.map(({ node }) => node));
  nameThePage(views);
  find("controls").hidden = false;
  const byTurns = ({ episodes }) => ["board", "none"].includes(episodes[0].scene.kind);
  if (replays.every(byTurns)) player.speed = 0.25;
  refresh();
  offer(player, views);
  performance.mark("drawn");
  if (!matchMedia("(prefers-reduced-motion: reduce)").matches) player.play();
}

start().catch((error) => {
  document.querySelector("main").append(
    make("p", { class: "problem", role: "alert", text: `This replay cannot be shown: ${error.message}` }));
});
