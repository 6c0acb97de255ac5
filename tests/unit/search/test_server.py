# SPDX-License-Identifier: Apache-2.0
"""The client of alignment servers against a fake one: both layouts, every status, every fault."""

import base64
import io
import tarfile

import fake_msa_server as fakes
import pytest

from protenix_ms.errors import ConfigError, ResourceError
from protenix_ms.features.msa_chain import species_of
from protenix_ms.search.connection import read_credentials, require_url

A, B = "MKVLAAGIVQLDERTY", "GEWEIIDIGPFTQNLG"


def test_colabfold_rows_keep_their_order(fake, client):
    answers = client().alignments([A, B])
    names = [name.split("\t")[0] for name in answers[B].unpaired.names]
    assert names == [f"UniRef100_U{i}" for i in range(3)] + [f"MGYP{i}" for i in range(5)]
    assert answers[A].unpaired.rows[:3] == [row.encode() for row in fakes.relatives(A, 3)]
    assert answers[A].paired is None
    kind, fields, headers = fake.requests[0]
    assert (kind, fields["mode"], fields["q"]) == ("msa", "env", f">101\n{A}\n>102\n{B}\n")
    assert headers["User-Agent"].startswith("protenix-ms/")


def test_pairs_stay_row_by_row_although_headers_repeat(fake, client):
    pairs = client().pairs([A, B])
    assert [s.tolist() for s in (species_of(pairs[A].names), species_of(pairs[B].names))] == [
        ["1", "3", "4"], ["1", "2", "3", "4"]]  # row 2 of A has no residue
    assert pairs[A].rows[1] == fakes.relatives(A, 4)[2].encode()
    assert fake.requests[0][1]["mode"] == "pairgreedy"


@pytest.mark.parametrize("environmental", [True, False])
def test_protenix_layout_pairs_by_species(fake, client, environmental):
    fake.answers["msa"] = lambda queries: fakes.protenix_msa(queries, environmental)
    answer = client().alignments([A, B])[A]
    assert species_of(answer.paired.names).tolist() == ["9606", "9608"]
    assert len(answer.unpaired.rows) == 1 + environmental


def test_answers_are_kept_by_sequence(fake, client):
    client().alignments([A])
    first = client().alignments([A, B])
    assert fake.requests[-3][1]["q"] == f">101\n{B}\n"  # only what is new is sent
    before = len(fake.requests)
    assert client().alignments([B, A]) == first
    assert client().pairs([A, B]) and client().pairs([A, B])
    assert fake.count("pair") == 1 and len(fake.requests) == before + 3


def test_pending_for_ever_ends_and_is_resumed(fake, client):
    fake.polls = ["PENDING", "RUNNING"]
    with pytest.raises(ResourceError, match="not finished after 0.002 minutes.*RUNNING"):
        client(minutes=0.002).alignments([A])
    fake.polls = ["COMPLETE"]
    said = []
    assert client(said=said).alignments([A])[A].unpaired.rows
    assert fake.count("msa") == 1 and "going on with ticket t0" in said[0]


def test_a_forgotten_ticket_is_asked_anew_once(fake, client):
    fake.polls = ["PENDING"]
    with pytest.raises(ResourceError):
        client(minutes=0.001).alignments([A])
    fake.polls = ["UNKNOWN", "COMPLETE"]
    client().alignments([A])
    assert fake.count("msa") == 2
    fake.polls = ["UNKNOWN"]
    with pytest.raises(ResourceError, match="answers the status 'UNKNOWN'"):
        client().alignments([B])


def test_rate_limits_are_waited_for(fake, client):
    fake.submits = ["RATELIMIT", "RATELIMIT", "PENDING"]
    fake.faults = {"poll": [fakes.http(429, Retry_After="20"), fakes.http(503)]}
    said = []
    client(said=said).alignments([A])
    assert [line.rpartition(" in ")[2] for line in said if "asking again" in line] == [
        "30 s", "60 s", "30 s", "60 s"]
    fake.submits = ["RATELIMIT"]
    with pytest.raises(ResourceError, match="RATELIMIT"):
        client(minutes=0.001).alignments([B])


@pytest.mark.parametrize(("status", "words"), [
    ("MAINTENANCE", "under maintenance; try again later"), ("ERROR", "failed on these sequences"),
    ("SURPRISE", "answers the status 'SURPRISE'")])
@pytest.mark.parametrize("when", ["submits", "polls"])
def test_bad_statuses_end_it(fake, client, status, words, when):
    setattr(fake, when, [status])
    with pytest.raises(ResourceError, match=words):
        client().alignments([A])
    setattr(fake, when, ["COMPLETE"])
    client().alignments([A])  # no dead ticket is in the way


FAULTS = {
    "html": (fakes.html, r"not JSON, it begins with '<html><title>Sign in"),
    "bad request": (fakes.http(400), r"refuses the request \(HTTP 400: 'no'\); check --msa-server"),
    "credentials": (fakes.http(401), "demands other credentials"),
    "redirect": (fakes.http(302, Location="http://else.where/"), "redirects to 'http://else.where"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_faults_that_end_it_at_once(fake, client, name):
    fault, words = FAULTS[name]
    fake.faults = {"msa": [fault]}
    with pytest.raises(ResourceError, match=words):
        client().alignments([A])
    assert len(fake.requests) == 1


PASSING = {"http 500": (fakes.http(500), {}), "dropped": (fakes.drop, {}),
           "hang": (fakes.hang, {"silence": 0.05}), "slow": (fakes.slow, {"longest": 0.1})}


@pytest.mark.parametrize("name", PASSING)
@pytest.mark.parametrize("where", ["msa", "poll", "download"])
def test_faults_that_pass_are_outlived(fake, client, name, where):
    fault, settings = PASSING[name]
    fake.faults = {where: [fault, fault]}
    said = []
    assert client(said=said, **settings).alignments([A])[A].unpaired.rows
    assert sum("attempt 3 of 5" in line for line in said) == 1


@pytest.mark.parametrize("name", PASSING)
def test_faults_that_stay_end_it_after_five_attempts(fake, client, name):
    fault, settings = PASSING[name]
    fake.faults = {"poll": [fault] * 9}
    with pytest.raises(ResourceError, match="no answer in 5 attempts"):
        client(**settings).alignments([A])
    assert fake.count("poll") == 5


def test_a_truncated_archive_is_fetched_again(fake, client):
    whole = fakes.archive(fakes.colabfold_msa([("101", A)]))
    answers = [whole[:-30], b"", whole]
    fake.answers["msa"] = lambda queries: answers.pop(0) if len(answers) > 1 else answers[0]
    assert client().alignments([A])[A].unpaired.rows
    fake.answers["msa"] = lambda queries: whole[:100]
    with pytest.raises(ResourceError, match="the archive is damaged .* in 5 attempts"):
        client().alignments([B])


def _link() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        entry = tarfile.TarInfo("uniref.a3m")
        entry.type, entry.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(entry)
    return buffer.getvalue()


ARCHIVES = {
    "path outside": (fakes.archive({"../../x.a3m": "x"}), "a path outside of it"),
    "absolute path": (fakes.archive({"/tmp/x.a3m": "x"}), "a path outside of it"),
    "link": (_link(), "no plain file"),
    "other files": (fakes.archive({"README": "x"}), "holds README, but neither uniref"),
    "no query": (fakes.archive({"uniref.a3m": f">102\n{A}\n"}), "query 101.*has no rows"),
    "other query": (fakes.archive({"uniref.a3m": f">101\n{B}\n"}), "the first row has 'G' where"),
    "short row": (fakes.archive({"uniref.a3m": f">101\n{A}\n>x\nMK\n"}), "has 2 columns"),
    "binary": (fakes.archive({"uniref.a3m": f">101\n{A}\n>x\n\1\2\n"}), "at character 1"),
    "zero length": (fakes.archive({"0.a3m": "", "uniref_tax.m8": ""}), "has no rows"),
}


@pytest.mark.parametrize("name", ARCHIVES)
def test_archives_that_cannot_be_used(fake, client, name):
    content, words = ARCHIVES[name]
    fake.answers["msa"] = lambda queries: content
    with pytest.raises(ResourceError, match=words):
        client().alignments([A])
    assert fake.count("download") == 1


def test_sections_of_different_length_are_not_paired(fake, client):
    text = fakes.sections([f">101\n{A}\n>x\n{A}\n", f">102\n{B}\n"])
    fake.answers["pair"] = lambda queries: {"pair.a3m": text}
    with pytest.raises(ResourceError, match="2, 1 rows, so they cannot be paired"):
        client().pairs([A, B])


def test_credentials(monkeypatch, fake, client):
    for value, header in (("me:secret", ("Authorization", "Basic " + base64.b64encode(
            b"me:secret").decode())), ("X-API-Key: k1", ("X-API-Key", "k1")),
            ("token1", ("Authorization", "Bearer token1"))):
        monkeypatch.setenv("MY_AUTH", value)
        assert read_credentials("MY_AUTH") == dict([header])
    client(headers=read_credentials("MY_AUTH")).alignments([A])
    assert all(headers["Authorization"] == "Bearer token1" for _, _, headers in fake.requests)
    for value in ("", "two\nlines"):
        monkeypatch.setenv("MY_AUTH", value)
        with pytest.raises(ConfigError, match="MY_AUTH is not"):
            read_credentials("MY_AUTH")


@pytest.mark.parametrize("url", ["api.colabfold.com", "ftp://x/y", "https://", "file:///etc/passwd",
                                 "https://me:secret@host/"])
def test_addresses_that_are_none(url):
    with pytest.raises(ConfigError, match="--msa-server"):
        require_url(url)
