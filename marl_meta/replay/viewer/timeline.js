// Time: all episodes one after the other, shared by all replays of the page.

/** Episode k begins for all replays at once, when the longest episode k - 1 is over; shorter ones wait at their end. */
class Timeline {
  constructor(replays) {
    const count = Math.max(...replays.map((replay) => replay.episodes.length));
    this.starts = [];
    let next = 0;
    for (let k = 0; k < count; k++) {
      this.starts.push(next);
      next += 1 + Math.max(...replays.map((replay) => replay.episodes[k]?.steps ?? 0));
    }
    this.end = next - 1;
  }

  /** A time as a share of all time. */
  share(time) {
    return time / Math.max(this.end, 1);
  }

  /** The episode that is played at a time. */
  episodeAt(time) {
    return this.starts.findLastIndex((start) => start <= time);
  }

  /** Where a replay is at a time: its episode, the last moment 0..T that has been reached, and how far it is beyond. */
  moment(replay, time) {
    const index = this.episodeAt(time);
    const episode = replay.episodes[index];
    if (!episode) return momentOf(replay, replay.episodes.length - 1, Infinity);
    return momentOf(replay, index, time - this.starts[index]);
  }
}

function momentOf(replay, index, since) {
  const episode = replay.episodes[index];
  const step = Math.min(Math.floor(since), episode.steps);
  // What is decided at this moment; after the last step, what was decided last.
  const decision = Math.max(Math.min(step, episode.steps - 1), 0);
  return { index, episode, step, decision, fraction: step < episode.steps ? since - step : 0 };
}

const SPEEDS = [0.25, 0.5, 1, 2, 4, 8];
const STEPS_A_SECOND = 10;
const LONGEST_FRAME = 0.1; // seconds: a page that was in the background goes on where it was left

/** The playhead and what is selected. `changed` is called whenever something else is to be shown. */
class Player {
  constructor(timeline, changed) {
    this.timeline = timeline;
    this.changed = changed;
    this.time = 0;
    this.speed = 1;
    this.playing = false;
    this.loop = false;
    this.selected = null; // index of an agent
    this.shown = "attention"; // or "influence"
    this.head = null; // of attention; null is the mean of all
  }

  seek(time) {
    this.time = Math.min(Math.max(time, 0), this.timeline.end);
    this.changed();
  }

  /** Go to the next (1) or the previous (-1) whole moment, and stay there. */
  step(by) {
    this.pause();
    this.seek(by > 0 ? Math.floor(this.time + 1e-9) + 1 : Math.ceil(this.time - 1e-9) - 1);
  }

  /** Go to the start of the next episode (1), or of this one, or where that is now, of the one before (-1). */
  skip(by) {
    const current = this.timeline.episodeAt(this.time);
    const begun = this.time - this.timeline.starts[current] > STEPS_A_SECOND / 4;
    const target = by < 0 && begun ? current : current + by;
    this.seek(this.timeline.starts[target] ?? (by < 0 ? 0 : this.timeline.end));
  }

  toggle() {
    if (this.playing) this.pause();
    else this.play();
  }

  play() {
    if (this.time >= this.timeline.end) this.time = 0;
    this.pause(); // so that there is never more than one chain of frames
    this.playing = true;
    this.next = requestAnimationFrame((now) => this.frame(now, now));
    this.changed();
  }

  pause() {
    this.playing = false;
    cancelAnimationFrame(this.next);
    this.changed();
  }

  frame(now, before) {
    this.time += Math.min((now - before) / 1000, LONGEST_FRAME) * STEPS_A_SECOND * this.speed;
    if (this.time >= this.timeline.end) this.finish();
    this.changed();
    if (this.playing) this.next = requestAnimationFrame((next) => this.frame(next, now));
  }

  finish() {
    this.time = this.loop ? 0 : this.timeline.end;
    this.playing = this.loop;
  }

  faster(by) {
    const place = SPEEDS.indexOf(this.speed) + by;
    this.speed = SPEEDS[Math.min(Math.max(place, 0), SPEEDS.length - 1)];
    this.changed();
  }

  /** Select an agent, or none; to select what is selected lets go of it. */
  select(agent) {
    this.selected = agent === this.selected ? null : agent;
    this.head = null;
    this.changed();
  }
}
