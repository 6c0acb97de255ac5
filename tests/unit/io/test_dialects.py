# SPDX-License-Identifier: Apache-2.0
"""Every dialect means what its owner means: copies, letters, alignments, names, notes."""

import json

import pytest

from protenix_ms.errors import InputError
from protenix_ms.io import read_jobs, scan_jobs
from protenix_ms.job import AtomAddress, Ligand

FIRST, SECOND = "MKTAYIAKQR", "GSHMELDPV"


@pytest.fixture
def read(tmp_path):
    def start(document, name="job.json"):
        (tmp_path / name).write_text(json.dumps(document))
        return read_jobs(tmp_path / name)[0]

    return start


def alphafold3(*sequences, **extra):
    base = {"name": "a", "modelSeeds": [1], "dialect": "alphafold3", "version": 4}
    return {**base, "sequences": list(sequences), **extra}


def server(*sequences, **extra):
    base = {"name": "s", "modelSeeds": [], "dialect": "alphafoldserver", "version": 1}
    return [{**base, "sequences": list(sequences), **extra}]


def protenix(*sequences, **extra):
    return [{"name": "p", "sequences": list(sequences), **extra}]


def chain(name, sequence=FIRST, kind="protein", **extra):
    return {kind: {"id": name, "sequence": sequence, **extra}}


def mutated(code, position):
    return [{"ptmType": code, "ptmPosition": position}]


def a3m(*rows):
    return "".join(f">r{i}\n{row}\n" for i, row in enumerate(rows))


# entries of equal content


def test_equal_entries_are_copies_and_bonds_keep_their_chains(read):
    ligands = [{"ligand": {"id": name, "ccdCodes": ["NAG"]}} for name in "XY"]
    pairs = [[["C", 3, "CB"], ["X", 1, "C1"]], [["D", 3, "CB"], ["Y", 1, "C1"]],
             [["A", 3, "CB"], ["B", 3, "CB"]]]
    job = read(alphafold3(chain("A"), chain("B", SECOND), chain(["C", "D"]), *ligands,
                          bondedAtomPairs=pairs))
    assert job.entity_numbers == (1, 2, 1, 4, 4)
    assert [entity.ids for entity in job.entities] == [("A",), ("B",), ("C", "D"), ("X",), ("Y",)]
    ends = [(bond.first, bond.second) for bond in job.bonds]
    assert ends == [
        (AtomAddress(1, 3, "CB", 2), AtomAddress(4, 1, "C1", 1)),
        (AtomAddress(1, 3, "CB", 3), AtomAddress(4, 1, "C1", 2)),
        (AtomAddress(1, 3, "CB", 1), AtomAddress(2, 3, "CB", 1)),
    ]
    assert not job.notes


@pytest.mark.parametrize(("entries", "numbers"), [
    ([chain("A"), chain("B", modifications=mutated("TPO", 3))], (1, 2)),
    ([chain("A", modifications=mutated("TPO", 3)), chain("B", modifications=mutated("TPO", 3))],
     (1, 1)),
    # the modification says what stands there, whatever the letter below it
    ([chain("A", modifications=mutated("TPO", 3)),
      chain("B", "MKSAYIAKQR", modifications=mutated("TPO", 3))], (1, 1)),
    ([chain("A"), chain("B", modifications=mutated("THR", 3))], (1, 1)),
    ([chain("A", "GGCC", "rna"), chain("B", "GGCC", "dna")], (1, 2)),
    ([chain("A", "GGCC", "dna"), chain("B", "GGCC", "dna")], (1, 1)),
    ([{"ligand": {"id": "A", "smiles": "CCO"}}, {"ligand": {"id": "B", "smiles": "CCO"}},
      {"ligand": {"id": "C", "smiles": "CCN"}}], (1, 1, 3)),
    ([{"ligand": {"id": "A", "ccdCodes": ["NAG", "BMA"]}},
      {"ligand": {"id": "B", "ccdCodes": ["BMA", "NAG"]}}], (1, 2)),
])
def test_what_counts_as_equal(entries, numbers, read):
    assert read(alphafold3(*entries)).entity_numbers == numbers


@pytest.mark.parametrize(("texts", "used"), [
    ((a3m(FIRST, "MKTAYIA---"), a3m(FIRST, "---AYIAKQR")), 1),
    (("", a3m(FIRST, "---AYIAKQR")), 2),
])
def test_one_alignment_serves_all_copies_and_the_job_says_which(texts, used, read):
    job = read(alphafold3(*(chain(n, unpairedMsa=t) for n, t in zip("AB", texts))))
    assert [e.unpaired_msa.text for e in job.entities] == [texts[used - 1]] * 2
    (note,) = job.notes
    assert "entities 1 and 2" in note and f"that of entity {used} is used" in note


def test_a_protenix_json_keeps_entries_apart_and_says_how_to_join_them(read):
    first, nag = {"proteinChain": {"sequence": FIRST}}, {"ligand": {"ligand": "CCD_NAG"}}
    other = {"proteinChain": {"sequence": FIRST, "count": 2}}
    job = read(protenix(first, nag, other, nag))
    assert job.entity_numbers == ()
    assert job.notes == (
        "entities 1 and 3 have the same sequence; count 3 makes them copies",
        "entities 2 and 4 are the same ligand; count 2 makes them copies",
    )


# letters


@pytest.mark.parametrize(("kind", "text", "sequence", "note"), [
    ("protein", "MUBXK", "MXXXK",
     "2 letters read as unknown: U2, B3; write SEC as a modification"),
    ("protein", "MOK", "MXK", "1 letter read as unknown: O2; write PYL as a modification"),
    ("protein", "MJZ", "MXX", "2 letters read as unknown: J2, Z3"),
    ("rna", "GTXIC", "GNNNC", "2 letters read as unknown: T2, I4"),
    ("dna", "GATUN", "GATNN", "1 letter read as unknown: U4"),
    ("dna", "GATTN", "GATTN", ""),
])
def test_unknown_letters_of_alphafold3(kind, text, sequence, note, read):
    job = read(alphafold3(chain("A", text, kind)))
    assert job.entities[0].sequence == sequence
    assert job.notes == ((f"entity 1 ({kind}): {note}",) if note else ())


def test_a_letter_under_a_modification_is_not_unknown(read):
    job = read(alphafold3(chain("A", "MUKB", modifications=mutated("SEC", 2))))
    assert job.entities[0].sequence == "MXKX"
    assert job.notes == ("entity 1 (protein): 1 letter read as unknown: B4",)


def test_many_unknown_letters_are_counted_and_not_all_listed(read):
    (note,) = read(alphafold3(chain("A", "MB" * 300))).notes
    assert "300 letters" in note and note.endswith(", B40, ...")


# AlphaFold Server


def test_a_server_job_with_and_without_prefixes(read):
    modified = {"sequence": "ABK", "count": 2, "useStructureTemplate": False,
                "modifications": mutated("SEP", 1)}
    job = read(server(
        {"proteinChain": modified}, {"ligand": {"ligand": "ATP", "count": 1}},
        {"ligand": {"ligand": "CCD_MG"}}, {"ion": {"ion": "MG", "count": 2}},
        {"proteinChain": {**modified, "modifications": mutated("CCD_SEP", 1)}},
        {"dnaSequence": {"sequence": "ACGT", "modifications": [
            {"modificationType": "5CM", "basePosition": 2}]}},
    ))
    assert job.entity_numbers == (1, 2, 3, 3, 1, 6)
    assert job.entities[0].sequence == "AXK" and job.entities[0].modifications[0].code == "SEP"
    assert job.entities[5].modifications[0].code == "5CM"
    assert [e.codes for e in job.entities[1:4]] == [("ATP",), ("MG",), ("MG",)]
    assert [e.count for e in job.entities] == [2, 1, 1, 2, 2, 1]
    assert any("1 letter read as unknown: B2" in note for note in job.notes)


def test_an_older_server_file_names_no_dialect(read):
    """Only what a Protenix job cannot be is read as the server's."""
    twice = [{"proteinChain": {"sequence": "MUK", "count": 1}}] * 2
    job = read([{"name": "s", "modelSeeds": [], "sequences": twice}])
    assert job.entity_numbers == (1, 1) and job.entities[0].sequence == "MXK"
    assert job.notes[0] == "it names no dialect and is read as a job of AlphaFold Server"
    twice = [{"proteinChain": {"sequence": "MCK", "count": 1}}] * 2
    assert read([{"name": "s", "modelSeeds": [], "sequences": twice}]).entity_numbers == ()
    with pytest.raises(InputError, match="write X, or CCD_SEC"):
        read([{"name": "s", "sequences": [{"proteinChain": {"sequence": "MUK"}}]}])
    with pytest.raises(InputError, match="no file"):  # Protenix' refusal, not the server's
        read([{"name": "s", "modelSeeds": [], "sequences": [
            {"proteinChain": {"sequence": "MCK", "unpairedMsaPath": "x.a3m"}}]}])


# fields


def test_nulls_and_comments_are_as_good_as_absent(read):
    job = read(alphafold3(
        chain("A", unpairedMsa=None, pairedMsa=None, templates=None, description="mine"),
        chain("R", "GGCC", "rna", pairedMsa=None), bondedAtomPairs=None, userCCD=None))
    assert not job.notes and len(job.entities) == 2


def test_an_empty_text_beside_a_path_counts_as_absent_in_alphafold3_only(read, tmp_path):
    (tmp_path / "x.a3m").write_text(a3m(FIRST, "MKTAYIA---"))
    both = {"unpairedMsa": "", "unpairedMsaPath": "x.a3m"}
    assert read(alphafold3(chain("A", **both))).entities[0].unpaired_msa
    job = read(protenix({"proteinChain": {"sequence": FIRST, **both}}))
    assert job.entities[0].unpaired_msa is None
    assert job.notes == (
        "entity 1 (proteinChain): unpairedMsaPath is not read: unpairedMsa stands beside it",)


def test_alignments_of_alphafold3_stay_as_written(read):
    text = a3m(FIRST, "MKTAYIA---")
    chains = (chain("A", unpairedMsa=text), chain("B", SECOND), chain("R", "GG", "rna"))
    assert [e.keep_rows for e in read(alphafold3(*chains)).entities] == [True, False, False]
    plain = read(protenix({"proteinChain": {"sequence": FIRST, "unpairedMsa": text}}))
    assert not plain.entities[0].keep_rows


def test_legal_keys_that_change_nothing_are_said_once(read, tmp_path):
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "pairing.a3m").write_text(a3m(FIRST))
    labels = {"label_entity_id": "1", "label_asym_id": ["A"]}
    job = read(protenix(
        {"proteinChain": {"sequence": FIRST, "count": 1, **labels, "msa": {
            "precomputed_msa_dir": "m", "pairing_db": "uniref100"}}},
        {"ligand": {"ligand": "CCD_ATP", **labels}}, assembly_id="1"))
    assert job.notes == tuple(f"{key} is not used" for key in (
        "assembly_id", "label_entity_id", "label_asym_id", "pairing_db"))
    beside = {"sequence": FIRST, "unpairedMsa": a3m(FIRST), "msa": {"precomputed_msa_dir": "m"}}
    assert "msa is not read" in read(protenix({"proteinChain": beside})).notes[0]


def test_an_ion_may_carry_the_prefix(read):
    job = read(protenix({"ion": {"ion": "CCD_MG", "count": 2}}))
    assert job.entities == (Ligand(codes=("MG",), count=2, is_ion=True),)


def test_suffixes_of_ligand_files_in_any_case(read, tmp_path):
    (tmp_path / "L.SDF").write_text("")
    job = read(protenix({"ligand": {"ligand": "FILE_L.SDF"}}))
    assert job.entities[0].file == tmp_path / "L.SDF"


def test_seeds_of_every_dialect_reach_the_largest(read):
    largest = [0, 2**32 - 1]
    assert read(alphafold3(chain("A"), modelSeeds=largest)).seeds == tuple(largest)
    protein = {"proteinChain": {"sequence": FIRST}}
    assert read(server(protein, modelSeeds=[str(s) for s in largest])).seeds == tuple(largest)
    assert read(protenix(protein, modelSeeds=largest)).seeds == tuple(largest)


# names


@pytest.mark.parametrize(("name", "folder"), [
    ("5abc/lig 1", "5abclig_1"), (".hidden", "hidden"), ("../up", "up"), ("n" * 300, "n" * 200),
    ("a b (c)", "a b (c)"), ("über/x", "berx"),
])
def test_alphafold3_names_become_folders(name, folder, read):
    for document in (alphafold3(chain("A"), name=name),
                     server({"proteinChain": {"sequence": FIRST}}, name=name)):
        job = read(document)
        assert job.name == folder
        assert bool(job.notes) == (folder != name) and all(folder in note for note in job.notes)


def test_two_names_never_share_a_folder(tmp_path):
    names = ("x/y z", "xy/z", "xy_z", "xy z")
    for number, name in enumerate(names):
        document = alphafold3(chain("A"), name=name)
        (tmp_path / f"{number}.json").write_text(json.dumps(document))
    results = list(scan_jobs(tmp_path))
    jobs = [result.name for result in results if not isinstance(result, InputError)]
    assert jobs == ["xy_z", "xyz", "xy z"]
    (error,) = [result for result in results if isinstance(result, InputError)]
    assert "'xy_z' is used twice" in str(error)
