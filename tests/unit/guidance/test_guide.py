# SPDX-License-Identifier: Apache-2.0
"""Guidance repairs what it is for, sample by sample, and refuses what it does not know."""

from dataclasses import replace

import numpy as np
import pytest

from protenix_ms.chem.ccd import ComponentDictionary
from protenix_ms.config.guidance import guidance_settings
from protenix_ms.errors import ConfigError
from protenix_ms.features.build import FeatureOptions, build
from protenix_ms.guidance.guide import Guide, StepPlace
from protenix_ms.guidance.lists import GeometryLists
from protenix_ms.guidance.potentials import POTENTIALS, Evaluation
from protenix_ms.guidance.settings import GuidanceSettings, Schedule
from protenix_ms.guidance.validity import count_faults
from protenix_ms.job import Job, Ligand

PLACE = StepPlace(0, 4, 10.0, 5.0, 1.5)
LAST = StepPlace(3, 4, 1.0, 0.0, 1.0)


def settings(**changes) -> GuidanceSettings:
    return GuidanceSettings.read(guidance_settings() | {"enable": True} | changes)


@pytest.fixture(scope="module")
def features(golden) -> dict:
    """Make features of a phosphopeptide, a ligand with a centre and a double bond, and an ion."""
    return dict(np.load(golden / "tfg" / "stereo" / "features.npz"))


@pytest.fixture(scope="module")
def lists(features) -> GeometryLists:
    return GeometryLists.from_features(features)


@pytest.fixture
def apart(features) -> np.ndarray:
    """Place reference conformers far from one another."""
    x, residue = features["ref_pos"].astype(np.float64), features["ref_space_uid"]
    return x + 30.0 * residue[:, None] * np.array([1.0, 0.3, -0.2])


def guided(guide: Guide, x: np.ndarray, place: StepPlace = LAST) -> np.ndarray:
    """Return the structure of a last, full step, which is the refined estimate."""
    return guide(lambda noisy: x[None], x[None], place, lambda site, shape: np.zeros(shape))[0]


def test_right_geometry_has_no_faults(apart, lists):
    assert set(count_faults(apart, lists).values()) == {0}


def test_inverted_chirality_is_restored(apart, lists):
    wrong = apart * [1, 1, -1]
    assert count_faults(wrong, lists)["wrong_chirality"] == 2
    assert count_faults(guided(Guide(settings(), lists), wrong), lists)["wrong_chirality"] == 0


def test_wrong_double_bond_is_turned(apart, lists):
    side, j, k, _ = lists.groups["stereo_bond"].index[:, 0]
    # turn one substituent half way round the bond's axis, and a little out of the plane
    axis = (apart[k] - apart[j]) / np.linalg.norm(apart[k] - apart[j])
    wrong = apart.copy()
    arm = wrong[side] - apart[j]
    along = (arm @ axis) * axis
    wrong[side] = apart[j] + 2 * along - arm + 0.2 * np.cross(axis, arm)
    assert count_faults(wrong, lists)["wrong_double_bonds"] == 1
    guide = Guide(settings(), lists)
    for _ in range(4):
        wrong = guided(guide, wrong)
    assert count_faults(wrong, lists)["wrong_double_bonds"] == 0


def test_clash_between_chains_is_resolved(features, lists):
    x, chain = features["ref_pos"].astype(np.float64), lists.chain
    x = x + 4.0 * features["residue_index"][features["atom_to_token_idx"]][:, None]
    x[chain == 1] += x[chain == 0].mean(axis=0) - x[chain == 1].mean(axis=0)
    before, guide = count_faults(x, lists)["close_contacts"], Guide(settings(), lists)
    for _ in range(10):
        x = guided(guide, x)
    assert before > 0
    assert count_faults(x, lists)["close_contacts"] == 0


def test_ion_is_left_alone(apart, lists):
    ion = np.bincount(lists.chain)[lists.chain] == 1
    x = apart + np.random.default_rng(1).standard_normal(apart.shape)
    assert ion.sum() == 1
    assert np.array_equal(guided(Guide(settings(), lists), x)[ion], x[ion])


def test_total_energy_falls(apart, lists):
    rng, guide = np.random.default_rng(2), Guide(settings(), lists)
    x = apart + 0.5 * rng.standard_normal((10, *apart.shape))
    after = guide(lambda noisy: x, x, LAST, lambda site, shape: np.zeros(shape))
    assert (guide.total(after, LAST).energy < guide.total(x, LAST).energy).sum() >= 9
    account = guide.account
    assert set(account.before[0]) == {*POTENTIALS, "total"}
    for i in range(10):
        assert account.before[i]["total"] == pytest.approx(guide.total(x, LAST).energy[i])
        assert account.after[i]["total"] == pytest.approx(guide.total(after, LAST).energy[i])


def test_samples_do_not_meet(apart, lists):
    rng = np.random.default_rng(3)
    x = apart + rng.standard_normal((3, *apart.shape))
    x[0] = apart  # nothing to repair here
    noise, guide = rng.standard_normal(x.shape), Guide(settings(), lists)
    whole = guide(lambda noisy: x, x, PLACE, lambda site, shape: noise)
    for i in range(3):
        part = guide(lambda noisy, i=i: x[i:i + 1], x[i:i + 1], PLACE,
                     lambda site, shape, i=i: noise[i:i + 1])
        assert np.allclose(part[0], whole[i], rtol=0, atol=1e-9)


@pytest.mark.parametrize("name", POTENTIALS)
def test_gradient_is_the_derivative(apart, lists, name):
    rng = np.random.default_rng(4)
    x = 0.3 * apart + rng.standard_normal(apart.shape)
    term = next(term for term in settings().terms if term.name == name)
    energy = lambda y: POTENTIALS[name](y[None], lists, term.at(1.0)).energy[0]  # noqa: E731
    gradient = POTENTIALS[name](x[None], lists, term.at(1.0)).gradient[0]
    way, h = rng.standard_normal(x.shape), 1e-6
    slope = (energy(x + h * way) - energy(x - h * way)) / (2 * h)
    assert slope == pytest.approx((gradient * way).sum(), rel=1e-5, abs=1e-5)


def test_schedule():
    bent = Schedule.read({"type": "exp_interpolation", "start": 1, "end": 0, "alpha": 3}, "here")
    assert bent(0.0) == 1.0
    assert bent(1.0) == 0.0
    assert bent(0.5) == pytest.approx(1 - (np.exp(1.5) - 1) / (np.exp(3) - 1))
    assert Schedule.read({"type": "const", "value": 2}, "here")(0.3) == 2.0


@pytest.mark.parametrize("changes, word", [
    ({"strength": 1}, "strength"),
    ({"rho": 0.1}, "rho"),
    ({"steps": {"tfg_inner": -1}}, "tfg_inner"),
    ({"steps": {"inner": 1}}, "inner"),
    ({"mc": {"std": -1.0}}, "std"),
    ({"terms": {}}, "without a term"),
    ({"terms": {"VinaStericPotentials": {}}}, "VinaStericPotential"),
    ({"terms": {"LinearBondPotential": {"weight": "heavy"}}}, "heavy"),
    ({"terms": {"LinearBondPotential": {"width": 1.0}}}, "width"),
    ({"terms": {"LinearBondPotential": {"weight": {"type": "cosine"}}}}, "cosine"),
    ({"terms": {"LinearBondPotential": {"weight": {"type": "const"}}}}, "value"),
])
def test_what_is_unknown_is_refused(changes, word):
    with pytest.raises(ConfigError, match=word):
        settings(**changes)


@pytest.mark.parametrize("factor, stage", [
    (np.nan, "the denoiser"), (1e160, "the denoiser"), (1e5, "LinearBondPotential")])
def test_a_sample_that_is_not_finite_ends_alone(apart, lists, factor, stage, monkeypatch):
    def overflowing(x, lists, parameters):
        slope = np.where(np.abs(x).max(axis=(1, 2)) > 1e5, np.inf, 0.0)
        return Evaluation(np.zeros(len(x)), np.zeros_like(x) + slope[:, None, None])

    monkeypatch.setitem(POTENTIALS, "LinearBondPotential", overflowing)
    good = apart + np.random.default_rng(5).standard_normal(apart.shape)
    x = np.stack([good, good * factor, good])
    guide = Guide(settings(), lists)
    place = replace(LAST, samples=(4, 5, 6))
    moved = guide(lambda noisy: x, x, place, lambda site, shape: np.zeros(shape))
    assert np.isnan(moved[1]).all()
    assert np.array_equal(moved[0], guided(Guide(settings(), lists), good))
    assert np.array_equal(moved[0], moved[2])
    assert list(guide.account.lost) == [5]
    assert f"guidance of sample 6: {stage} gives" in guide.account.lost[5]
    assert set(guide.account.after) == {4, 6}


def test_interval_zero_switches_a_term_off(apart, lists):
    plan = settings()
    off = replace(plan, terms=tuple(replace(term, interval=0) for term in plan.terms))
    x = apart * [1, 1, -1]
    assert np.allclose(guided(Guide(off, lists), x), x, atol=1e-12)


def test_metal_complex_is_left_alone():
    rng = np.random.default_rng(6)
    job = Job("heme", (Ligand(codes=("HEM",)),))
    example = build(job, ComponentDictionary.load(), rng,
                    FeatureOptions(use_msa=False, guidance=True))
    metal = GeometryLists.from_features(example.features)
    x = 5.0 * rng.standard_normal((len(metal.chain), 3))
    assert len(x) == 43
    assert np.array_equal(guided(Guide(settings(), metal), x), x)
