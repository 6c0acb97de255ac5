# SPDX-License-Identifier: Apache-2.0
"""Pages from result folders: what they hold, their sizes, and what is refused in one sentence."""

import base64
import hashlib
import json
import re
import subprocess
import sys
import zlib

import numpy as np
import pytest

from protenix_ms.cli.main import main
from protenix_ms.errors import InputError
from protenix_ms.report import read_results, write_page
from protenix_ms.report.document import asset
from protenix_ms.report.doubts import job_doubts, sample_doubts

HOSTILE = "</script><b>x & 'y'"


def data_of(page) -> dict:
    text = page.read_text(encoding="utf-8")
    return json.loads(re.search('id="data">(.*?)</script>', text, re.S)[1])


def bytes_of(text: str) -> bytes:
    return zlib.decompress(base64.b64decode(text))


def test_the_library_in_the_package_is_the_one_that_notice_names(request):
    digest = hashlib.sha256(asset("3Dmol-min.js").encode()).hexdigest()
    notice = (request.config.rootpath / "NOTICE").read_text(encoding="utf-8")
    assert digest in notice
    licence = asset("3Dmol-LICENSE.txt")
    for name in ("3Dmol.js", "Three.js", "jQuery", "pako", "upng-js", "netcdfjs", "iobuffer",
                 "zlib"):
        assert name in licence


def test_a_page_holds_its_files_and_is_the_same_twice(make_results):
    folder = make_results(deposit="1mol", samples=5)
    page = write_page(folder)
    first = page.read_bytes()
    assert len(first) <= 1_500_000 and write_page(folder).read_bytes() == first
    record = json.loads((folder / "run.json").read_text())
    record["seeds"]["101"]["seconds"] = {"trunk": 7.0}
    (folder / "run.json").write_text(json.dumps(record | {"finished": "", "peak_memory_gb": 0}))
    assert write_page(folder).read_bytes() == first, "times are on the page"
    data = data_of(page)
    assert [s["row"]["rank"] for s in data["samples"]] == list("01234")
    sample = data["samples"][1]
    assert bytes_of(sample["cif"]) == (folder / sample["row"]["file"]).read_bytes()
    with np.load(folder / "seed_101/predictions/job_full_data_sample_1.npz") as arrays:
        n = len(arrays["token_asym_id"])
        pae = np.frombuffer(bytes_of(sample["pae"]), np.uint8).reshape(n, n) / data["paeSteps"]
        assert abs(pae - np.minimum(arrays["token_pair_pae"], 31.9)).max() <= 0.07
        of_atom = np.frombuffer(bytes_of(data["tokens"]["ofAtom"]), "<u4")
        assert (of_atom == arrays["atom_to_token_idx"]).all()
    assert [(c["name"], c["kind"]) for c in data["tokens"]["chains"]] == [
        ("A", "protein"), ("B", "protein")]


def test_large_maps_are_averaged_and_what_finds_no_room_stays_in_the_ranking(
    make_results, monkeypatch
):
    monkeypatch.setattr("protenix_ms.report.page.MAP_SIDE", 50)
    monkeypatch.setattr("protenix_ms.report.page.ROOM", 10)
    data = data_of(write_page(make_results(samples=3)))
    assert len(data["samples"]) == 1 and len(data["ranking"]) == 3
    side = -(-188 // -(-188 // 50))
    assert len(bytes_of(data["samples"][0]["pae"])) == side**2


def test_names_never_become_markup_and_the_policy_names_every_script(make_results):
    page = write_page(make_results(deposit="2lwu", job=HOSTILE, notes=[HOSTILE]))
    text = page.read_text(encoding="utf-8")
    assert data_of(page)["job"] == HOSTILE and "<b>x" not in text
    policy = re.search('Content-Security-Policy" content="(.*?)"', text)[1]
    assert policy.startswith("default-src 'none'; ") and "unsafe" not in policy
    codes = re.findall("<script>(.*?)</script>", text, re.S)
    digests = [base64.b64encode(hashlib.sha256(c.encode()).digest()).decode() for c in codes]
    assert len(codes) == 2 and all(f"'sha256-{digest}'" in policy for digest in digests)


def test_without_full_data_there_is_a_page_without_a_map(make_results):
    data = data_of(write_page(make_results(deposit="1bna", full_data=())))
    assert data["samples"][0]["pae"] == "" and len(data["tokens"]["names"]) == 24
    data = data_of(write_page(make_results("rounded", "1bna", full_data=(".json",))))
    assert data["samples"][0]["pae"]


def test_a_folder_of_jobs_gets_a_table(make_results, capsys):
    first, second = make_results("one", "2lwu"), make_results("two", "2lwu")
    (second / "ranking.csv").write_text("rank\n")
    assert main(["report", str(first.parent)]) == 1
    output = capsys.readouterr()
    assert "one/report.html (" in output.out and "index.html" in output.out
    assert output.err.count("\n") == 1 and "two/ranking.csv" in output.err
    data = data_of(first.parent / "index.html")
    assert [(job["job"], job["page"]) for job in data["jobs"]] == [
        ("one", "one/report.html"), ("two", "")]


def damage(folder, what):
    """Damage a result folder in one way; return the words of the sentence."""
    predictions = folder / "seed_101/predictions"
    if what == "nowhere":
        return folder / "absent", "there is no such folder"
    if what == "another program":
        other = folder.parent / "other"
        (other / "output").mkdir(parents=True)
        return other, "no finished job of protenix-ms is here"
    if what == "unfinished":
        (folder / "ranking.csv").unlink()
        return folder, "ranking.csv is missing"
    if what == "no mark":
        (folder / "seed_101/fingerprint.txt").unlink()
        return folder, "fingerprint.txt is missing"
    if what == "npz":
        (predictions / "job_full_data_sample_0.npz").unlink()
        return folder, "job_full_data_sample_0.npz is missing"
    if what == "npz content":
        path = predictions / "job_full_data_sample_0.npz"
        path.write_bytes(b"x" * path.stat().st_size)
        return folder, "the arrays cannot be read"
    if what == "structure":
        path = predictions / "job_sample_0.cif"
        path.write_bytes(b"\n" * path.stat().st_size)
        return folder, "this is no predicted structure"
    if what == "outside":
        ranking = folder / "ranking.csv"
        ranking.write_text(ranking.read_text().replace("seed_101/predictions/job_", "../../etc/"))
        return folder, "is no structure of a sample"
    (folder / "run.json").write_text("[" * 100_000 if what == "record" else "[]")
    return folder, "this is no JSON file of a result"


@pytest.mark.parametrize("what", ["nowhere", "another program", "unfinished", "no mark", "npz",
                                  "npz content", "structure", "outside", "record", "list"])
def test_what_cannot_be_read_is_one_sentence(make_results, capsys, what):
    folder, words = damage(make_results(deposit="2lwu", samples=1), what)
    assert main(["report", str(folder)]) == 2
    error = capsys.readouterr().err
    assert words in error and error.count("\n") == 1 and error.startswith("protenix-ms report: ")
    assert not (folder / "report.html").exists()


def test_reasons_for_doubt():
    record = {"random_weights": True, "notes": ["1 pocket: this model takes none; ignored", "fine"],
              "alignments": [{"entity": 1, "rows": 4}, "junk"], "settings": {"config": {
                  "sample_diffusion": {"N_step": 2}}},
              "seeds": {"7": {"state": "incomplete", "detail": "1 sample lost"}}}
    text = " ".join(job_doubts(record))
    for words in ("random numbers", "Only 2 denoising", "ignored", "has 4 rows", "Seed 7"):
        assert words in text
    assert "fine" not in text
    assert "demonstration" in " ".join(job_doubts({"model": "demo"}))
    summary = {"has_clash": True, "wrong_chirality": 2, "ptm": 0.3, "iptm": 0.2,
               "chain_ids": ["A", "B"], "constraints": [{"first": "a", "second": "b"}]}
    plddt = np.r_[np.full(12, 30.0), np.full(20, 90.0)]
    text = " ".join(sample_doubts(summary, plddt, [f"A {i}" for i in range(32)]))
    for words in ("clash", "2 wrong chiral", "pTM is 0.30", "ipTM is 0.20", "A 0 to A 11",
                  "not met: a - b"):
        assert words in text
    assert not list(sample_doubts({"ptm": 0.9, "iptm": 0.0}, plddt[12:], [""] * 20))
    assert not list(job_doubts({"settings": "junk", "seeds": [], "alignments": None}))


def test_pages_need_no_mindspore(make_results):
    folder = make_results(deposit="2lwu", samples=1)
    code = ("import sys; from protenix_ms.cli.main import main; code = main(sys.argv[1:]); "
            "sys.exit(code or 'mindspore' in sys.modules)")
    done = subprocess.run([sys.executable, "-c", code, "report", str(folder)],
                          capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


def test_a_renamed_folder_keeps_the_job_name(make_results):
    folder = make_results(deposit="2lwu")
    moved = folder.rename(folder.parent / "moved")
    assert read_results(moved).name == "job" and write_page(moved).is_file()
    with pytest.raises(InputError, match="is missing"):
        read_results(folder)
