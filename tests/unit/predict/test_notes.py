# SPDX-License-Identifier: Apache-2.0
"""What a run says about a job, and what of it a model does not use."""

from dataclasses import replace

import pytest

from protenix_ms.chem.ccd import ComponentDictionary
from protenix_ms.config import VARIANTS, get_config
from protenix_ms.features import FeatureOptions
from protenix_ms.job import (
    Alignment,
    AtomAddress,
    Contact,
    CovalentBond,
    Job,
    Ligand,
    Modification,
    Pocket,
    Polymer,
    TemplateStructure,
)
from protenix_ms.predict.notes import _note_loose_parts, collect_notes, describe, unused_input
from protenix_ms.predict.outputs import structure_info
from protenix_ms.predict.settings import Settings
from protenix_ms.predict.weights import Weights

MSA = Alignment(">q\nMKTAY\n>r\nMKTAA\n", "inline")
CONSTRAINT, TINY = "protenix_base_constraint_v0.5.0", "protenix_tiny_default_v0.5.0"
CONTACT = Contact(AtomAddress(1, 1, None, 1), AtomAddress(2, 2, None, 1), 8.0)
CHAIN = Polymer("protein", "MKTAY", unpaired_msa=MSA)
RNA = Polymer("rna", "GGACC", unpaired_msa=Alignment(">q\nGGACC\n", "inline"))


@pytest.mark.parametrize("model", VARIANTS)
def test_no_model_drops_a_constraint_in_silence(model):
    job = Job("j", (CHAIN, Ligand(codes=("ATP",))), contacts=(CONTACT, CONTACT),
              pocket=Pocket((2, 1), (AtomAddress(1, 1, None, 1),), 6.0))
    notes = unused_input(job, get_config(model))
    if model == CONSTRAINT:
        assert not any("constraint" in note for note in notes)
        return
    contacts, pocket, *_ = notes
    assert contacts.startswith("2 contact constraints: ")
    assert pocket.startswith("1 pocket constraint: ")
    reason = f"this model takes none, only {CONSTRAINT} does; ignored"
    assert reason in contacts and reason in pocket


def test_least_distances_between_residues_are_not_read(make_settings):
    contacts = (replace(CONTACT, min_distance=3.0), CONTACT,
                Contact(AtomAddress(1, 1, "CA", 1), AtomAddress(2, 2, "N1", 1), 8.0, 2.0))
    job = Job("j", (CHAIN, Ligand(codes=("ATP",))), contacts=contacts)
    settings = make_settings()
    assert not any("min_distance" in note for note in collect_notes(job, settings))
    notes = collect_notes(job, replace(settings, config=get_config(CONSTRAINT)))
    assert [note for note in notes if note.startswith("min_distance of contact 1: ")]


def test_contacts_of_the_same_ends_are_named(make_settings):
    turned = replace(CONTACT, first=CONTACT.second, second=CONTACT.first, max_distance=3.0)
    other = replace(CONTACT, first=AtomAddress(1, 2, None, 1))
    atom = replace(CONTACT, first=AtomAddress(1, 1, "CB", 1))  # stands for its residue here
    job = Job("j", (CHAIN, Ligand(codes=("ATP",))), contacts=(CONTACT, other, turned, atom))
    settings = make_settings()
    assert not any("the ends of" in note for note in collect_notes(job, settings))
    notes = collect_notes(job, replace(settings, config=get_config(CONSTRAINT)))
    assert [n[:35] for n in notes if "the ends of" in n] == [
        "contact 3 has the ends of contact 1", "contact 4 has the ends of contact 3"]


def test_own_components_that_are_unused_or_hide_others(make_settings):
    atoms = ("loop_\n_chem_comp_atom.atom_id\n_chem_comp_atom.type_symbol\n"
             "_chem_comp_atom.charge\nC1 C 0\nO1 O 0\n"
             "loop_\n_chem_comp_bond.atom_id_1\n_chem_comp_bond.atom_id_2\n"
             "_chem_comp_bond.value_order\nC1 O1 SING\n")
    job = Job("j", (CHAIN, Ligand(codes=("ATP",))),
              own_components=f"data_ATP\n{atoms}data_MINE-1\n{atoms}")
    settings = replace(make_settings(), ccd=ComponentDictionary.load())
    notes = [n for n in collect_notes(job, settings) if "userCCD" in n]
    assert notes == ["component MINE-1 of userCCD stands in no entity",
                     "component ATP of userCCD replaces the one of that name in the table"]


@pytest.mark.parametrize("least, said", [(0.0, "at most 8"), (2.5, "2.5 to 8")])
def test_a_constraint_in_words(least, said):
    constraint = {"kind": "contact_atom", "first": "A TYR 4 CA", "second": "B GOL 1 C2",
                  "min_distance": least, "max_distance": 8.0, "distance": 7.26,
                  "satisfied": True, "used": True}
    assert describe(constraint) == (
        f"contact atom A TYR 4 CA - B GOL 1 C2: 7.3 A ({said}), satisfied")
    assert describe(constraint | {"satisfied": False, "used": False}).endswith(
        "NOT satisfied, not read by this model")


@pytest.mark.parametrize("model", VARIANTS)
def test_no_model_drops_templates_in_silence(model, tmp_path):
    chain = Polymer("protein", "MKTAY", templates=tmp_path / "hits.a3m", unpaired_msa=MSA)
    own = TemplateStructure("data_x", "here", "x.cif")
    other = replace(chain, templates=None, template_structures=(own, own))
    takes = "v1.0.0" in model or "v2" in model
    none = "this model takes none; ignored"
    assert unused_input(Job("j", (chain, chain, other)), get_config(model)) == (
        [] if takes else [f"2 template files: {none}", f"2 template structures: {none}"]) + (
        [f"3 alignments: {none}"] if "esm" in model or "ism" in model else [])


def test_alignments_that_a_model_does_not_take():
    none = "this model takes none; ignored"
    job = Job("j", (CHAIN, RNA))
    assert unused_input(job, get_config("protenix_mini_esm_v0.5.0")) == [f"2 alignments: {none}"]
    assert unused_input(job, get_config(TINY)) == [f"1 RNA alignment: {none}"]
    assert unused_input(job, get_config("protenix-v2")) == []
    short = Job("j", (Polymer("protein", "MKTA", unpaired_msa=MSA),))
    assert unused_input(short, get_config(TINY)) == [
        "1 alignment: chains under 5 residues are run without; ignored"]


def test_copies_count_once_where_alignments_lack(make_settings):
    chain = Polymer("protein", "MKTAY")
    job = Job("j", (chain, Polymer("protein", "GSHME"), chain), entity_numbers=(1, 2, 1))
    (note,) = collect_notes(job, make_settings())
    assert note.startswith("2 of 2 protein entities have no alignment")


def test_the_run_says_it(make_settings):
    job = Job("j", (CHAIN, Ligand(codes=("ATP",))), contacts=(CONTACT,), notes=("X is Y",))
    notes = collect_notes(job, make_settings())
    assert notes[0] == "X is Y" and notes[1].startswith("1 contact constraint: ")


@pytest.mark.parametrize("code, position, said", [
    ("NH2", 4, "entity 1: upstream makes no bond between LYS 3 and NH2 4"),
    ("FOR", 1, "entity 1: upstream makes no bond between FOR 1 and ALA 2"),
    ("ACE", 1, None),
])
def test_gaps_that_upstream_leaves_are_said_under_its_quirks_only(tmp_path, code, position, said):
    job = Job("j", (Polymer("protein", "GAKV", modifications=(Modification(code, position),)),))
    for quirks in (True, False):
        settings = Settings(
            tmp_path, get_config("protenix_tiny_default_v0.5.0"), Weights(random_seed=0),
            ComponentDictionary.load(), FeatureOptions(upstream_quirks=quirks))
        gaps = [note for note in collect_notes(job, settings) if "no bond" in note]
        assert gaps == ([said] if quirks and said else [])


def test_ligands_of_separate_molecules_are_noted(tmp_path):
    end = [AtomAddress(1, place, atom) for place, atom in ((1, "O4"), (2, "C1"))]
    sugars = Ligand(codes=("NAG", "NAG"))
    loose = list(_note_loose_parts(Job("j", (sugars, Ligand(smiles="CCO.[Na+]")))))
    assert loose[0].startswith("entity 1: nothing bonds NAG 1, NAG 2, ")
    assert loose[1].startswith("entity 2: nothing bonds CCO, [Na+], ")
    bonds = (CovalentBond(*end),)
    whole = Job("j", (sugars, Ligand(smiles="C1.C1"), Ligand(codes=("ATP",))), bonds=bonds)
    assert not list(_note_loose_parts(whole))


def test_letters_outside_ascii_reach_the_structure_file(tmp_path):
    label = Ligand(codes=("ATP",), labels=("Kinase α",))
    info = structure_info(Job("j", (label,)), ComponentDictionary.load(), [], "t")
    assert info.descriptions["1"] == "Kinase α"
