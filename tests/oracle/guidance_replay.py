# SPDX-License-Identifier: Apache-2.0
"""Replaying a recording of guided sampling: potentials, guided steps, geometry lists, network.

Guidance is compared in float64 and step by step from recorded inputs: free trajectories in
float32 are chaotic (upstream's own differ from its float64 by angstroms), so they are no measure.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import prediction_replay
from comparison import with_recorded_ligands
from mindspore import Tensor
from prediction_recording import Recording
from prediction_replay import Row

from protenix_ms.chem.ccd import ComponentDictionary
from protenix_ms.config.guidance import guidance_settings
from protenix_ms.errors import InputError
from protenix_ms.features import assemble
from protenix_ms.features.guidance import guidance_features
from protenix_ms.guidance.guide import Guide, StepPlace
from protenix_ms.guidance.lists import GeometryLists
from protenix_ms.guidance.potentials import POTENTIALS
from protenix_ms.guidance.projection import PROJECTIONS
from protenix_ms.guidance.settings import GuidanceSettings
from protenix_ms.io import read_jobs
from protenix_ms.model.confidence_features import ConfidenceFeatures
from protenix_ms.model.layers import set_precision
from protenix_ms.model.protenix import ModelInputs, Prediction, Protenix
from protenix_ms.runtime.trace import listening, trace
from protenix_ms.typing import Array

MOVE = 1e-5  # angstrom, against float64
EXACT, SINGLE, PLANAR_SINGLE = 1e-6, 1e-5, 1e-4  # relative: against float64, float32, planarity
STEP = 1e-5  # relative: energies and gradients inside a step, after the moves before them
NOISE, PERTURBATION = "randn_like@engine.step", "randn@engine._sample_eps"


@dataclass(frozen=True)
class GuidedRecording:
    """A folder with `fixed.npz`, `outputs.npz` and its float64 twin.

    Attributes:
        features: the job's features, geometry lists among them.
        outputs: what upstream recorded in float32, with the draws.
        truth: the same steps in float64 ; empty where they were not recorded.
        fixed: potentials on fixed coordinates.
        settings: the recorded settings of guidance.
        sampler: the recorded ``sample_diffusion``.
    """

    features: dict[str, Array]
    outputs: dict[str, Array]
    truth: dict[str, Array]
    fixed: dict[str, Array]
    settings: GuidanceSettings
    sampler: dict

    @classmethod
    def read(cls, path: Path) -> GuidedRecording:
        """Read a folder.

        Raises:
            InputError: it has no settings of guidance.
            ConfigError: settings that this version refuses.
        """
        sampler = json.loads((path / "meta.json").read_text())["config"]["sample_diffusion"]
        if "guidance" not in sampler:
            raise InputError("the recording has no settings of guidance", where=str(path))
        twin = path / "outputs_fp64.npz"
        return cls(
            dict(np.load(path / "features.npz")), dict(np.load(path / "outputs.npz")),
            dict(np.load(twin)) if twin.is_file() else {}, dict(np.load(path / "fixed.npz")),
            GuidanceSettings.read(sampler["guidance"]), sampler)

    def draws(self, place: str) -> list[Array]:
        """List the normal numbers that upstream drew at a place, in order, float64."""
        names = sorted(k for k in self.outputs if k.startswith("rng/") and k.endswith(place))
        return [self.outputs[name].astype(np.float64) for name in names]


def row(stage: str, ours: Array | None, theirs: Array, bar: float, relative: bool = True,
        floor: float = 1e-6, remark: str = "") -> Row:
    """Compare one stage; relative errors are to the largest magnitude, at least `floor`."""
    if ours is None:
        return Row(stage, np.inf, np.inf, False, "not written by us")
    if ours.shape != theirs.shape:
        return Row(stage, np.inf, np.inf, False, f"shape {ours.shape}, recorded {theirs.shape}")
    absolute = float(np.abs(ours - theirs.astype(np.float64)).max(initial=0))
    ratio = absolute / max(float(np.abs(theirs).max(initial=0)), floor)
    return Row(stage, absolute, ratio, bool((ratio if relative else absolute) <= bar), remark)


def potentials(recording: GuidedRecording) -> dict[str, Array]:
    """Compute every potential on the fixed coordinates, with the default settings."""
    settings = GuidanceSettings.read(guidance_settings() | {"enable": True})
    lists = GeometryLists.from_features(recording.features)
    x, place = recording.fixed["x"].astype(np.float64), StepPlace(0, 1, 1.0, 0.0, 1.0)
    stages = {}
    for term in settings.terms:
        parameters = term.at(1.0)
        energy, gradient = POTENTIALS[term.name](x, lists, parameters)
        stages |= {f"{term.name}/energy": energy, f"{term.name}/grad": gradient}
        if term.name in PROJECTIONS:
            stages[f"{term.name}/projection"] = PROJECTIONS[term.name](x, lists, parameters)
    guide = Guide(settings, lists)
    energy, gradient = guide.total(x, place)
    return stages | {"total/energy": energy, "total/grad": gradient,
                    "total/projection": guide.project(x, place)}


def compare_potentials(recording: GuidedRecording, ours: Mapping[str, Array]) -> Iterator[Row]:
    """Compare with upstream's float64, and, but for projections, with its float32."""
    for key, theirs in recording.fixed.items():
        precision, _, name = key.partition("/")
        if precision == "fp64" and name.endswith("/projection"):
            yield row(f"fixed/{key}", ours.get(name), theirs, MOVE, relative=False)
        elif precision == "fp64":
            yield row(f"fixed/{key}", ours.get(name), theirs, EXACT)
        elif precision == "fp32" and not name.endswith("/projection"):
            bar = PLANAR_SINGLE if name.startswith(("PlanarImproper", "total")) else SINGLE
            yield row(f"fixed/{key}", ours.get(name), theirs, bar, floor=1.0)


def steps(recording: GuidedRecording) -> dict[str, Array]:
    """Run every guided step in float64 from its recorded noisy and denoised coordinates."""
    truth, settings = recording.truth, recording.settings
    numbers = sorted(int(k.partition("#")[2]) for k in truth if k.startswith("tfg/x_noisy#"))
    lists = GeometryLists.from_features(recording.features, np.float64)
    total = recording.sampler["N_step"]
    # with chunks of samples, what is recorded of a step is the last chunk's
    noises = recording.draws(NOISE)[-len(numbers) * settings.outer:]
    perturbations = recording.draws(PERTURBATION)[-len(numbers):]
    stages = {}
    for place, number in enumerate(numbers):
        queue = {"guidance_noise": noises[place * settings.outer:][:settings.outer],
                 "guidance_perturbation": list(perturbations[place]) if perturbations else []}
        shape = truth[f"tfg/x_noisy#{number}"].shape

        def normal(site: str, size: tuple, queue: dict = queue) -> Array:
            if not queue[site]:
                raise InputError(f"the recording has too few draws of {site}", where="replay")
            return queue[site].pop(0).reshape(size)

        seen: dict[str, list[Array]] = defaultdict(list)
        guide = Guide(settings, lists, lambda stage, value, seen=seen: seen[stage].append(value))
        denoised = [truth[f"tfg/x0_denoised#{number}.{o}"] for o in range(settings.outer)]
        levels = (float(np.ravel(truth[f"tfg/{k}#{number}"])[0]) for k in ("t_hat", "c_tau"))
        where = StepPlace(number, total, *levels, recording.sampler["step_scale_eta"])
        result = guide(lambda x, queue=denoised: queue.pop(0).reshape(-1, *x.shape[1:]),
                       truth[f"tfg/x_noisy#{number}"].reshape(-1, *shape[-2:]), where, normal)
        stages[f"tfg/x_next#{number}"] = result
        stages |= _stages(seen, number, settings)
    return stages


def _stages(
    seen: Mapping[str, list[Array]], number: int, settings: GuidanceSettings
) -> dict[str, Array]:
    """Name what a step showed as the recording does."""
    stages, inner = {}, settings.inner if settings.mu else 0
    for outer in range(settings.outer):
        tag = f"{number}.{outer}"
        for stage, values in seen.items():
            if stage not in ("logp", "grad"):
                stages[f"tfg/{stage}#{tag}"] = values[outer]
        if inner:
            part = slice(outer * inner, (outer + 1) * inner)
            stages[f"tfg/logp#{tag}"] = np.stack(seen["logp"][part])
            stages |= {f"tfg/grad#{tag}.{i}": g for i, g in enumerate(seen["grad"][part])}
    return stages


def compare_steps(recording: GuidedRecording, ours: Mapping[str, Array]) -> Iterator[Row]:
    """Compare with upstream's float64: coordinates in angstrom, energies and gradients relative."""
    if not recording.truth:
        yield Row("tfg/*", np.inf, np.inf, False, "no outputs_fp64.npz, so nothing to measure by")
    for key, theirs in recording.truth.items():
        stage = key.removeprefix("tfg/").partition("#")[0]
        if not key.startswith("tfg/") or stage in ("x_noisy", "t_hat", "c_tau", "x0_denoised"):
            continue
        value = ours.get(key)
        if stage in ("x_next", "projection", "x0_refined"):
            yield row(key, value, theirs, MOVE, relative=False)
        else:
            if stage == "logp" and value is not None:
                theirs = theirs[-len(value):]
            yield row(key, value, theirs, STEP, floor=1.0)


LISTS = {  # list -> features of its values, compared as sets of rows
    "pairwise_distance": ("upper_bound", "lower_bound", "is_bond", "is_angle"),
    "experimental_torsion": ("force_constant", "sign"), "linear_triple_bond": (),
    "chiral": ("orientation",), "stereo_bond": ("orientation",),
    "planar_improper": ("is_carbonyl",), "interchain_bond": (), "symmetric_chain": (),
}


def features(path: Path) -> dict[str, Array]:
    """Make the geometry lists of the recorded job, given its recorded conformers."""
    conformers, ccd = path.resolve().parents[1] / "conformers.npz", ComponentDictionary.load()
    if conformers.is_file():
        ccd = ccd.with_conformers(conformers)
    job = read_jobs(path / "input.json")[json.loads((path / "meta.json").read_text())["index"]]
    atoms = assemble(job, ccd, np.random.default_rng(0), upstream_quirks=True)
    return guidance_features(job, with_recorded_ligands(atoms, np.load(path / "atoms.npz")), ccd)


def compare_features(recorded: Mapping[str, Array], ours: Mapping[str, Array]) -> Iterator[Row]:
    """Compare every list as a set of rows, atoms with their values (exactly)."""
    for name, values in LISTS.items():
        tables = [np.column_stack([source[f"{name}_index"].T, *(
            source[f"{name}_{value}"] for value in values)]) for source in (ours, recorded)]
        mine, theirs = (Counter(map(tuple, table.tolist())) for table in tables)
        wrong = sum((mine - theirs).values()) + sum((theirs - mine).values())
        yield Row(f"features/{name}", float(wrong), float(wrong) / max(1, theirs.total()),
                  not wrong, f"{theirs.total()} rows")


def network(recording: Recording, model: Protenix) -> dict[str, Array]:
    """Run trunk, every denoiser call and confidence head, each from what was recorded before it."""
    stages = prediction_replay.Stages()
    recorded, inputs = recording.outputs, ModelInputs(recording.features)
    set_precision(model, inputs.positions.n_tokens, recording.config.model_name)
    with listening(stages):
        trunk = model.trunk(inputs, recording.draws())
        trace("distogram_head", model.distogram_head(trunk.z))
    contacts = model.distogram_head.contact_probabilities(trunk.z).asnumpy()
    stages["pred/contact_probs"] = contacts
    job = model.diffusion_module.prepare(inputs.atoms, inputs.positions, *trunk)
    calls = [k for k in recorded if k.startswith("in/diffusion_module#") and k.endswith("/x_noisy")]
    with listening(stages):
        for key in sorted(calls, key=lambda k: int(k.split("#")[1].split("/")[0])):
            level = recorded[key.replace("x_noisy", "t_hat_noise_level")]
            model.diffusion_module(Tensor(recorded[key]), level, job)
    with listening(stages):
        scored = ConfidenceFeatures.from_features(recording.features)
        confidence = model.confidence_head(scored, tuple(trunk), recorded["pred/coordinate"])
    prediction = Prediction(recorded["pred/coordinate"], contacts, confidence)
    stages.update(prediction_replay.scores(recording, prediction))
    if "denoise/x_noisy" in recorded:
        stages.update(prediction_replay.denoise(recording, model, stages))
    return dict(stages)


def compare_network(recording: Recording, ours: Mapping[str, Array]) -> list[Row]:
    """Compare every stage but the coordinates, which guided steps are compared by."""
    kept = {k: v for k, v in recording.outputs.items() if k != "pred/coordinate"}
    return prediction_replay.compare(replace(recording, outputs=kept, truth={}), ours)


def replay(
    path: Path, checkpoint: Iterable[tuple[str, Array]] | None = None
) -> tuple[list[Row], dict[str, Array], int]:
    """Replay a folder; return the table, our values, and how many values are left out by design.

    Left out are upstream's float32 projections and steps, which its float64 stands for, and the
    final coordinates.
    """
    guided, recording = GuidedRecording.read(path), Recording.read(path)
    fixed, moved = potentials(guided), steps(guided)
    stages = network(recording, prediction_replay.build(recording, checkpoint))
    rows = [*compare_potentials(guided, fixed), *compare_steps(guided, moved),
            *compare_network(recording, stages)]
    lists = features(path) if (path / "input.json").is_file() else {}
    rows += compare_features(guided.features, lists) if lists else ()
    ours = lists | stages | moved | {f"fixed/{name}": value for name, value in fixed.items()}
    compared = {r.stage for r in rows}
    left = [k for k in guided.fixed if k != "x" and f"fixed/{k}" not in compared]
    left += [k for k in guided.outputs if k.startswith("tfg/") and k not in compared]
    return rows, ours, len(left) + 1
