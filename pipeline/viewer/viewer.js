// The viewer's page: cases one at a time, planes and surfaces, windows, layers, candidates. Coordinates that are shown
// are LPS mm, as everywhere else in the output; NiiVue's own are RAS.
import { Niivue } from "./niivue.js";

const WINDOWS = [
  { name: "pancreas", level: 40, width: 400 },
  { name: "liver", level: 60, width: 160 },
  { name: "lung", level: -600, width: 1500 },
  { name: "bone", level: 400, width: 1800 },
];
const SOLID = 4;
const VIEWS = [
  { name: "planes", key: "m", type: 3 },
  { name: "axial", key: "a", type: 0 },
  { name: "coronal", key: "c", type: 1 },
  { name: "sagittal", key: "s", type: 2 },
  { name: "3-D", key: "r", type: SOLID },
];
const LAYERS = {
  ct: { title: "CT", opacity: 1 },
  segmentation: { title: "anatomy", opacity: 0.35 },
  detection: { title: "detection map", opacity: 0.6 },
  evidence: { title: "classifier's evidence", opacity: 0 },
  roi: { title: "region of interest", opacity: 0.7 },
};
const CANDIDATES_RGB = [255, 140, 0];
const ROI_RGB = [240, 240, 240];

const element = (id) => document.getElementById(id);
const make = (name, properties = {}, ...children) => {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
};
const flat = (rgb) => ({ R: [0, rgb[0]], G: [0, rgb[1]], B: [0, rgb[2]], A: [0, 255], I: [0, 255] });

const COMMON = {
  backColor: [0, 0, 0, 1],
  isRadiologicalConvention: true,
  dragAndDropEnabled: false,
  viewModeHotKey: "",
  clipPlaneHotKey: "",
  cycleClipPlaneHotKey: "",
  logLevel: "error",
};
const nv = new Niivue({
  ...COMMON,
  crosshairColor: [0.49, 0.75, 1, 0.8],
  crosshairGap: 14,
  sagittalNoseLeft: true,
  multiplanarShowRender: 0,
});
// Surfaces have a canvas of their own: beside volumes they would wait for these to be drawn in 3-D, unseen.
const solid = new Niivue({ ...COMMON, isOrientCube: true });
const state = { cases: [], at: 0, facts: null, order: [], opacities: {}, view: VIEWS[0], window: WINDOWS[0], meshes: false, turn: 0 };
globalThis.viewer = { nv, solid, state }; // for whoever scripts the page

const say = (words, bad = false) => {
  element("state").textContent = words;
  element("state").classList.toggle("bad", bad);
};
const fetched = async (address) => {
  const answer = await fetch(address);
  const told = await answer.json();
  if (!answer.ok) throw new Error(told.error);
  return told;
};
const address = (name) => `case/${encodeURIComponent(state.cases[state.at].case_id)}/${name}`;
const percent = (value) => `${Math.round(100 * value)} %`;

const showPlace = (data) => {
  const [right, anterior, superior] = data.mm;
  const lps = [-right, -anterior, superior].map((value) => value.toFixed(1)).join(", ");
  const words = [`LPS ${lps} mm`];
  const labels = new Map(state.facts.labels.map((label) => [label.value, label.name]));
  state.order.forEach((name, index) => {
    const value = data.values[index]?.value ?? 0;
    if (name === "ct") words.push(`${Math.round(value)} HU`);
    if (name === "segmentation" && labels.has(Math.round(value))) words.push(labels.get(Math.round(value)));
    if (name === "detection" && value > 0) words.push(`confidence ${value.toFixed(3)}`);
  });
  element("place").textContent = words.join("  ·  ");
};
nv.onLocationChange = showPlace;

const applyOpacities = () => {
  state.order.forEach((name, index) => nv.setOpacity(index, state.opacities[name]));
};
const applyWindow = () => {
  const index = state.order.indexOf("ct");
  if (index < 0) return;
  nv.volumes[index].cal_min = state.window.level - state.window.width / 2;
  nv.volumes[index].cal_max = state.window.level + state.window.width / 2;
  nv.updateGLVolume();
};
const press = (box, name) => {
  for (const button of element(box).children) button.setAttribute("aria-pressed", String(button.dataset.name === name));
};

const surfaces = () => {
  const { facts } = state;
  const found = facts.segmentation
    ? facts.labels.map((label) => ({
        url: address(`surface-${label.value}.mz3`),
        name: `${label.name}.mz3`,
        rgba255: [...label.rgb, 255],
        opacity: /pancreas/.test(label.name) && !/duct/.test(label.name) ? 0.45 : 1,
      }))
    : [];
  if (facts.detection && facts.candidates.length) {
    found.push({ url: address("surface-candidates.mz3"), name: "candidates.mz3", rgba255: [...CANDIDATES_RGB, 255], opacity: 0.8 });
  }
  return found;
};
const loadSurfaces = async () => {
  const turn = state.turn;
  state.meshes = true;
  say("Making surfaces");
  const found = await Promise.all(
    surfaces().map(async (surface) => {
      const answer = await fetch(surface.url);
      if (!answer.ok) throw new Error((await answer.json()).error);
      // A label without a voxel has a file without a triangle, which NiiVue does not take.
      return new DataView(await answer.arrayBuffer()).getUint32(4, true) > 0 ? [surface] : [];
    }),
  );
  if (turn !== state.turn) return;
  if (found.flat().length) await solid.loadMeshes(found.flat());
  if (turn === state.turn) say("");
};
const setView = async (view) => {
  state.view = view;
  press("views", view.name);
  const isSolid = view.type === SOLID;
  element("planes").hidden = element("place").hidden = isSolid;
  element("surfaces").hidden = !isSolid;
  if (!isSolid) return nv.setSliceType(view.type);
  try {
    if (!solid.canvas) {
      await solid.attachToCanvas(element("solid"));
      solid.setSliceType(SOLID);
    }
    solid.resizeListener();
    if (!state.meshes && state.facts) await loadSurfaces();
  } catch (error) {
    say(error.message, true);
  }
};
const setWindow = (window) => {
  state.window = window;
  press("windows", window.name);
  applyWindow();
};
const goTo = (number) => {
  const candidate = state.facts?.candidates[number];
  if (!candidate || !nv.volumes.length) return;
  const [left, posterior, superior] = candidate.centroid_lps_mm;
  nv.scene.crosshairPos = nv.mm2frac([-left, -posterior, superior]);
  nv.createOnLocationChange();
  nv.drawScene();
  state.candidate = number;
  for (const [index, button] of [...element("candidates").querySelectorAll("button")].entries()) {
    button.setAttribute("aria-pressed", String(index === number));
  }
};

const fillPanel = () => {
  const { facts } = state;
  element("notice").hidden = !facts.notice;
  element("notice").textContent = facts.notice ? `Warning: ${facts.notice}.` : "";
  const score = facts.score === null ? "failed" : `score ${facts.score.toFixed(3)}${facts.label ? `, ${facts.label}` : ""}`;
  element("told").textContent = facts.error ? `${score}: ${facts.error}` : score;
  element("flags").replaceChildren(...facts.flags.map((flag) => make("li", { textContent: flag })));
  element("labels").replaceChildren(
    ...facts.labels.map((label) => {
      const swatch = make("i");
      swatch.style.background = `rgb(${label.rgb.join(" ")})`;
      return make("li", {}, swatch, label.name);
    }),
  );
  const buttons = facts.candidates.map((one, index) => {
    const size = `${one.diameter_mm.toFixed(0)} mm, ${one.volume_ml.toFixed(1)} ml`;
    const button = make("button", { type: "button", textContent: `${index + 1} · confidence ${one.confidence.toFixed(3)} · ${size}` });
    button.setAttribute("aria-pressed", "false");
    button.addEventListener("click", () => goTo(index));
    return button;
  });
  element("candidates").replaceChildren(...(buttons.length ? buttons : [make("p", { textContent: "No lesion candidate." })]));
};
const fillLayers = () => {
  element("layers").replaceChildren(
    ...state.order.map((name) => {
      const there = make("input", { type: "checkbox", checked: state.opacities[name] > 0, id: `show-${name}` });
      const slider = make("input", { type: "range", min: 0, max: 1, step: 0.05, value: state.opacities[name], id: `opacity-${name}` });
      slider.setAttribute("aria-label", `Opacity of ${LAYERS[name].title}`);
      const set = (value) => {
        state.opacities[name] = value;
        slider.value = value;
        slider.setAttribute("aria-valuetext", percent(value));
        there.checked = value > 0;
        applyOpacities();
      };
      slider.addEventListener("input", () => set(Number(slider.value)));
      there.addEventListener("change", () => set(there.checked ? LAYERS[name].opacity || 0.6 : 0));
      return make("div", { className: "layer" }, make("label", {}, there, LAYERS[name].title), slider);
    }),
  );
};
const toggle = (name) => element(`show-${name}`)?.click();

const volumesOf = (facts) => {
  const found = [];
  if (!facts.missing_ct) {
    const [low, high] = [state.window.level - state.window.width / 2, state.window.level + state.window.width / 2];
    found.push({ layer: "ct", url: address("ct.nii"), name: "ct.nii", colormap: "gray", cal_min: low, cal_max: high });
  }
  if (facts.segmentation) found.push({ layer: "segmentation", url: address("segmentation.nii.gz"), name: "segmentation.nii.gz" });
  if (facts.detection) {
    found.push({ layer: "detection", url: address("detection.nii.gz"), name: "detection.nii.gz", colormap: "hot", cal_min: 0.01, cal_max: 1 });
  }
  if (facts.evidence) {
    found.push({ layer: "evidence", url: address("evidence.nii.gz"), name: "evidence.nii.gz", colormap: "viridis", cal_min: 0.05, cal_max: 1 });
  }
  if (facts.roi && facts.detection) found.push({ layer: "roi", url: address("roi.nii.gz"), name: "roi.nii.gz", cal_min: 0.5, cal_max: 1 });
  return found;
};
const open = async (at) => {
  const turn = ++state.turn; // who is late, because another case was asked for meanwhile, stops
  state.at = at;
  element("case").selectedIndex = at;
  history.replaceState(null, "", `?case=${encodeURIComponent(state.cases[at].case_id)}`);
  say("Loading");
  element("place").textContent = "";
  try {
    const facts = await fetched(address("case.json"));
    if (turn !== state.turn) return;
    Object.assign(state, { facts, meshes: false, order: [], candidate: -1 });
    fillPanel();
    while (solid.meshes.length) solid.removeMesh(solid.meshes[0]);
    while (nv.volumes.length) nv.removeVolumeByIndex(nv.volumes.length - 1);
    nv.drawScene();
    const volumes = volumesOf(facts);
    for (const { layer } of volumes) state.opacities[layer] ??= LAYERS[layer].opacity;
    if (volumes.length) await nv.loadVolumes(volumes.map(({ layer, ...volume }) => ({ ...volume, opacity: state.opacities[layer] })));
    if (turn !== state.turn) return;
    state.order = volumes.map(({ layer }) => layer);
    const layer = (name) => nv.volumes[state.order.indexOf(name)];
    layer("segmentation")?.setColormapLabel(facts.colours);
    if (layer("roi")) {
      nv.addColormap("roi", flat(ROI_RGB));
      layer("roi").setColormap?.("roi") ?? (layer("roi").colormap = "roi");
    }
    fillLayers();
    nv.updateGLVolume();
    if (facts.candidates.length) goTo(0);
    if (state.view.type === SOLID) await loadSurfaces();
    say(facts.missing_ct ?? (volumes.length ? "" : "This case has nothing to show."), Boolean(facts.missing_ct));
  } catch (error) {
    if (turn === state.turn) say(error.message, true);
  }
};
const step = (by) => open((state.at + by + state.cases.length) % state.cases.length);
const stepCandidate = (by) => {
  const count = state.facts?.candidates.length ?? 0;
  if (count) goTo((state.candidate + by + count) % count);
};
const scroll = (by) => nv.volumes.length && nv.moveCrosshairInVox(0, 0, by);

const KEYS = [
  ...WINDOWS.map((window, index) => [String(index + 1), `window: ${window.name} (level ${window.level}, width ${window.width} HU)`, () => setWindow(window)]),
  ...VIEWS.map((view) => [view.key, `view: ${view.name}`, () => setView(view)]),
  ["n", "next candidate", () => stepCandidate(1)],
  ["p", "candidate before", () => stepCandidate(-1)],
  ["]", "next case", () => step(1)],
  ["[", "case before", () => step(-1)],
  ["PageUp", "slice towards the head", () => scroll(1)],
  ["PageDown", "slice towards the feet", () => scroll(-1)],
  ["d", "detection map on or off", () => toggle("detection")],
  ["o", "anatomy on or off", () => toggle("segmentation")],
  ["e", "classifier's evidence on or off", () => toggle("evidence")],
  ["i", "region of interest on or off", () => toggle("roi")],
];
document.addEventListener("keydown", (event) => {
  const { tagName, type } = event.target;
  const others = event.ctrlKey || event.metaKey || event.altKey || tagName === "SELECT"; // a list chooses by letters
  if (others || (type === "range" && event.key.startsWith("Page"))) return;
  const found = KEYS.find(([key]) => key === event.key);
  if (!found) return;
  event.preventDefault();
  event.stopImmediatePropagation();
  found[2]();
}, { capture: true });

const choices = (box, all, set, words) => {
  element(box).replaceChildren(
    ...all.map((one) => {
      const button = make("button", { type: "button", textContent: one.name, title: words(one) });
      button.dataset.name = one.name;
      button.addEventListener("click", () => set(one));
      return button;
    }),
  );
};
const start = async () => {
  choices("windows", WINDOWS, setWindow, (one) => `level ${one.level}, width ${one.width} HU`);
  choices("views", VIEWS, setView, (one) => `key ${one.key.toUpperCase()}`);
  press("windows", state.window.name);
  press("views", state.view.name);
  element("keys").replaceChildren(...KEYS.flatMap(([key, words]) => [make("dt", { textContent: key }), make("dd", { textContent: words })]));
  element("previous").addEventListener("click", () => step(-1));
  element("next").addEventListener("click", () => step(1));
  element("case").addEventListener("change", () => open(element("case").selectedIndex));
  try {
    await nv.attachToCanvas(element("canvas"));
    nv.setSliceType(state.view.type);
    state.cases = (await fetched("cases.json")).cases;
    const words = (one) => `${one.case_id} · ${one.status === "done" ? one.score.toFixed(3) : "failed"}`;
    element("case").replaceChildren(...state.cases.map((one) => make("option", { textContent: words(one) })));
    const asked = new URLSearchParams(location.search).get("case");
    if (state.cases.length) await open(Math.max(0, state.cases.findIndex((one) => one.case_id === asked)));
    else say("The run has no case.");
  } catch (error) {
    say(error.message, true);
  }
};
await start();
