# SPDX-License-Identifier: Apache-2.0
"""Job files of other programs that were misread or dropped once: what each must give."""

import json
import shutil

import numpy as np
import pytest

from protenix_ms.chem.ccd import ComponentDictionary
from protenix_ms.config import get_config
from protenix_ms.errors import InputError
from protenix_ms.features.build import build
from protenix_ms.io import read_jobs, scan_jobs
from protenix_ms.predict.notes import unused_input
from protenix_ms.predict.settings import default_options

LETTERS = np.array(list("ARNDCQEGHILKMFPSTWYVX") + ["?"] * 10 + ["-"])


def _features(path):
    (job,) = read_jobs(path)
    return build(job, ComponentDictionary.load(), np.random.default_rng(0))


def _refusal(path):
    with pytest.raises(InputError) as caught:
        read_jobs(path)
    return str(caught.value)


@pytest.mark.parametrize(("name", "expected", "chains"), [
    ("job", [[0, 0, 0], [1, 1, 0], [2, 0, 1]], "ABC"),
    ("ligands", [[0, 0, 0], [1, 1, 0], [2, 1, 1]], "PXY"),
])
def test_identical_entries(name, expected, chains, cases):
    example = _features(cases / "suite-af3-identical-entries" / f"{name}.json")
    columns = [example.features[key] for key in ("asym_id", "entity_id", "sym_id")]
    assert np.unique(np.stack(columns, axis=1), axis=0).tolist() == expected
    assert list(dict.fromkeys(example.atoms.chain_id.tolist())) == list(chains)


def test_identical_entries_of_a_protenix_json(cases, tmp_path):
    written = json.loads((cases / "suite-af3-identical-entries" / "job.json").read_text())
    entities = [{"proteinChain": {"sequence": entry["protein"]["sequence"], "count": 1}}
                for entry in written["sequences"]]
    (tmp_path / "j.json").write_text(json.dumps([{"name": "j", "sequences": entities}]))
    (job,) = read_jobs(tmp_path / "j.json")
    assert job.notes == ("entities 1 and 3 have the same sequence; count 2 makes them copies",)
    assert np.unique(_features(tmp_path / "j.json").features["entity_id"]).tolist() == [0, 1, 2]


def test_hand_pairing(cases):
    rows = _features(cases / "suite-af3-hand-pairing" / "job.json").features["msa"]
    assert ["".join(row) for row in LETTERS[rows]] == [
        "DEEPERMINDED", "D--PERM--DED", "DD-PER------", "DD-PERMIN-ED"]


@pytest.mark.parametrize(("name", "key"), [
    ("count", "'count'"), ("rna_paired", "'pairedMsa'"), ("dna_unpaired", "'unpairedMsa'"),
    ("inline_and_path", "unpairedMsaPath"), ("unknown_key", "'cyclic'"),
    ("server_template_date", "'maxTemplateDate'"), ("server_version", "version is 2"),
    ("bond_twice", "bonded atom pair 2"),
])
def test_dropped_fields(name, key, cases):
    assert key in _refusal(cases / "suite-af3-dropped-fields" / f"{name}.json")


def test_no_templates_of_the_server_is_valid(cases):
    (job,) = read_jobs(cases / "suite-af3-dropped-fields" / "server_no_template.json")
    assert job.entities[0].sequence == "DEEPMIND" and not job.notes


@pytest.mark.parametrize(("name", "sequence", "note"), [
    ("protein", "AXCDEFGHIXKXXXX", "5 letters read as unknown: B2, J10, O12, U13, Z15; "
                                   "write SEC as a modification"),
    ("rna", "AGCUNN", "1 letter read as unknown: Z6"),
    ("dna", "AGCTNN", "1 letter read as unknown: Z6"),
    ("server", "XX", "2 letters read as unknown: B1, B2"),
])
def test_unknown_letters(name, sequence, note, cases):
    (job,) = read_jobs(cases / "suite-af3-unknown-letters" / f"{name}.json")
    assert job.entities[0].sequence == sequence
    assert sum(note in line for line in job.notes) == 1


def test_job_names(cases):
    names = {p.stem: read_jobs(p)[0].name for p in (cases / "suite-af3-job-names").glob("*.json")}
    assert names == {"dot": "hidden", "long": "a" * 200, "slash": "5tgyligand_7BU"}


@pytest.mark.parametrize(("name", "sentence"), [
    ("af3_ccd_prefix", "AlphaFold 3 writes SEP without CCD_"),
    ("af3_no_dialect", 'this looks like AlphaFold 3; add "dialect": "alphafold3"'),
    ("file_without_prefix", "a path is written FILE_./lig.mol2"),
])
def test_messages_of_refusals(name, sentence, cases):
    assert sentence in _refusal(cases / "messages-of-refusals" / f"{name}.json")


def test_upper_case_suffix(cases):
    (job,) = read_jobs(cases / "messages-of-refusals" / "upper_suffix.json")
    assert job.entities[1].file.name == "LIG.SDF"


def test_ion_of_abcfold(cases, tmp_path):
    shutil.copy(cases / "clients-abcfold-ion" / "abcfold_af3cli_all.json", tmp_path / "j.json")
    (tmp_path / "abc" / "RipEa").mkdir(parents=True)
    (tmp_path / "abc" / "RipEa" / "non_pairing.a3m").write_text(">q\nNLYIQWLKDGGPSSGRPPPS\n")
    (job,) = read_jobs(tmp_path / "j.json")
    assert job.entities[4].codes == ("MG",) and job.entities[4].is_ion


def test_contact_of_abcfold(cases):
    path = cases / "clients-abcfold-contact" / "abcfold_af3cli_bond.json"
    (error,) = scan_jobs(path)
    assert "'contact'" in str(error) and '"constraint"' in str(error)


def test_constraint_is_never_silent(cases):
    (job,) = read_jobs(cases / "clients-silent-constraint" / "job.json")
    for model in ("protenix_tiny_default_v0.5.0", "protenix_base_default_v1.0.0"):
        (note,) = unused_input(job, get_config(model))
        assert note.startswith("1 contact constraint: this model takes none, only "
                               "protenix_base_constraint_v0.5.0 does; ignored")


@pytest.mark.parametrize("model", ["protenix_base_default_v1.0.0", "protenix-v2",
                                   "protenix_tiny_default_v0.5.0"])
def test_templates_of_alphafold3(model, cases):
    """The template is used by the models that take one; the others say that they do not."""
    (job,) = read_jobs(cases / "clients-af3-explicit-template" / "af3cli_tmpl.json")
    config = get_config(model)
    takes = config.model.template_embedder.n_blocks > 0
    said = [] if takes else ["1 template structure: this model takes none; ignored"]
    assert unused_input(job, config) == said
    example = build(job, ComponentDictionary.load(), np.random.default_rng(0),
                    default_options(config))
    classes = example.features["template_aatype"][0].reshape(2, 20)
    sequence = "".join(LETTERS[classes[0]])
    assert sequence == (job.entities[0].sequence if takes else "-" * 20)
    assert (classes[0] == classes[1]).all()
    assert example.features["template_backbone_frame_mask"][0].all() == takes


def test_component_of_the_job_itself(cases):
    atoms = _features(cases / "clients-af3-user-ccd" / "af3jobs_userccd.json").atoms
    own = np.flatnonzero(atoms.res_name == "LIG-1")
    assert atoms.atom_name[own].tolist() == ["C1", "C2", "O1"]
    bonds = {tuple(pair) for pair in atoms.bonds[:, :2].tolist()}
    assert {(own[0], own[1]), (own[1], own[2])} <= bonds and (own[0], own[2]) not in bonds


def test_glycans_of_the_server_are_bonded(cases):
    atoms = _features(cases / "clients-afserver-glycans" / "af3jobs_server.json").atoms
    joined = {tuple(f"{atoms.res_name[i]} {atoms.atom_name[i]}" for i in pair)
              for pair in atoms.bonds[:, :2].tolist()
              if atoms.res_id[pair[0]] != atoms.res_id[pair[1]]
              or atoms.chain_id[pair[0]] != atoms.chain_id[pair[1]]}
    assert {("ASN ND2", "NAG C1"), ("NAG O4", "NAG C1"), ("NAG O6", "FUC C1")} <= joined
    assert (atoms.res_name == "FUC").sum() == 20  # two copies, each without its leaving oxygen
