// Elements of the page. Text of a replay only ever becomes text, never markup.

/** A new element with attributes (`text` is its text) and children, which are elements or texts. */
function make(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

function makeSvg(tag, attributes = {}, ...children) {
  return fill(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
}

function fill(node, { text, ...attributes }, children) {
  for (const [name, value] of Object.entries(attributes)) if (value != null) node.setAttribute(name, value);
  if (text != null) node.textContent = text;
  node.append(...children.filter((child) => child != null));
  return node;
}

function makeButton(attributes, pressed, ...children) {
  const button = make("button", { type: "button", ...attributes }, ...children);
  button.addEventListener("click", pressed);
  return button;
}

/** Set a text where it differs: pages that change little are drawn fast. */
function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

function setVariable(node, name, value) {
  node.style.setProperty(name, value);
}

/** A row of a list of bars: a name, a bar for each of `kinds` and its number. */
function makeBars(name, kinds, tag = "li") {
  const bars = kinds.map((kind) => make("span", { class: `bar ${kind}` }, make("b")));
  const numbers = kinds.map((kind) => make("span", { class: `number ${kind}` }));
  const cells = kinds.flatMap((_, i) => [bars[i], numbers[i]]);
  return {
    node: make(tag, { class: "bars" }, make("span", { class: "name", text: name, title: name }), ...cells),
    set(...shares) {
      shares.forEach((share, i) => {
        setVariable(bars[i], "--share", share ?? 0);
        setText(numbers[i], share == null ? "–" : percentText(share));
      });
    },
  };
}

const percentText = (share) => `${Math.round(100 * share)} %`;

/** A number for people: three significant digits, with a minus that is as wide as a plus. */
function numberText(number) {
  if (!Number.isFinite(number)) return "–";
  const rounded = Math.abs(number) < 100 ? Number(number.toPrecision(3)) : Math.round(number);
  return String(Math.abs(rounded) < 1e-9 ? 0 : rounded).replace("-", "−");
}

function actionText(replay, action) {
  if (action === null || action === undefined) return "waits";
  if (Array.isArray(action)) return action.map((number) => number.toFixed(2).replace("-", "−")).join(", ");
  return replay.actions[action] ?? String(action);
}

function valueText(value) {
  if (value === null || value === undefined) return "–";
  if (typeof value === "number") return String(value).replace("-", "−");
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}
