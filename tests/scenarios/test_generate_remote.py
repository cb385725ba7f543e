"""Data sets at a URL, on a real server of an object store in another process."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from assets.errors import InputError
from perception.random_access import FrameDataset
from perception.streaming import FrameStream
from scenarios.cli import BAD_INPUT, DONE, main
from scenarios.dataset_check import CheckOptions, check
from scenarios.generate import GenerateOptions, generate
from sim import remote
from sim.remote import RemotePath, place_of
from sim.shards import Sample, file_sha256

pytest.importorskip("s3fs")
pytest.importorskip("moto")


@pytest.fixture(scope="module")
def store() -> Iterator[str]:
    """An empty bucket's URL; the environment says where the server is, as a user's would."""
    server = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("object_store.py"))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,  # a line for each request
        text=True,
    )
    assert server.stdout is not None
    port = int(server.stdout.readline())
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
        patch.setenv("AWS_ACCESS_KEY_ID", "someone")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        patch.setenv("AWS_MAX_ATTEMPTS", "1")
        import s3fs

        s3fs.S3FileSystem(use_listings_cache=False).mkdir("bucket")
        yield "s3://bucket"
        s3fs.S3FileSystem.clear_instance_cache()
    server.communicate()


@pytest.fixture(scope="module")
def options(tube_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> GenerateOptions:
    folder = tmp_path_factory.mktemp("data")
    shutil.copytree(tube_folder, folder / "other")
    return GenerateOptions(
        patients=(str(tube_folder), str(folder / "other")),
        out=folder / "here",
        frames=3,
        every=2,
        size=(32, 32),
        splits=(0.5, 0.5, 0.0),
        workers=1,
        # the tube under another seed is not another tube: its frames would be near-duplicates across the splits
        vary=(),
    )


@pytest.fixture(scope="module")
def expected(options: GenerateOptions) -> dict[str, str]:
    generate(options)
    return {path.name: file_sha256(path) for path in Path(options.out).iterdir() if path.name != "config.json"}


def content(url: str) -> dict[str, str]:
    folder = RemotePath(url)
    return {name: file_sha256(folder / name) for name in folder.files() if name != "config.json"}


@pytest.fixture(scope="module")
def there(store: str, options: GenerateOptions, expected: dict[str, str]) -> str:
    url = f"{store}/whole"
    generate(replace(options, out=url))
    return url


def test_an_object_store_gets_the_same_bytes_as_a_disk(there: str, expected: dict[str, str]) -> None:
    assert content(there) == expected


@pytest.mark.parametrize("left", [["other.tar"], ["other.tar", ".tube.tar.notes"], ["index.jsonl"]])
def test_a_broken_run_resumes_to_the_same_bytes_without_sending_again_what_is_there(
    left: list[str], there: str, store: str, options: GenerateOptions, expected: dict[str, str], monkeypatch
) -> None:
    url = f"{store}/broken-{'-'.join(left)}"
    sent: list[str] = []
    upload = RemotePath.upload

    def stopping(self: RemotePath, source: Path) -> None:
        if self.name in left:
            raise KeyboardInterrupt  # as if the process ended here
        upload(self, source)

    monkeypatch.setattr(RemotePath, "upload", stopping)
    with pytest.raises(KeyboardInterrupt):
        generate(replace(options, out=url))
    found = RemotePath(url).files()
    assert "dataset.json" not in found
    for name in left:
        (RemotePath(url) / name).unlink()
    monkeypatch.setattr(RemotePath, "upload", lambda self, source: (sent.append(self.name), upload(self, source))[1])
    generate(replace(options, out=url))
    assert content(url) == expected
    assert not set(sent) & {name for name in found if name.endswith(".tar")}


def test_a_finished_set_is_left_as_it_is(there: str, options: GenerateOptions, monkeypatch) -> None:
    monkeypatch.setattr(RemotePath, "upload", lambda self, source: pytest.fail(f"{self} was sent again"))
    monkeypatch.setattr(RemotePath, "download", only_the_configuration(RemotePath.download))
    assert generate(replace(options, out=there)).shards["train"][0].name == "tube.tar"


def only_the_configuration(download):
    def watched(self: RemotePath, target: Path) -> None:
        assert self.name == "config.json"
        download(self, target)

    return watched


def test_other_options_and_other_files_are_refused(there: str, store: str, options: GenerateOptions, tmp_path) -> None:
    with pytest.raises(InputError, match=r"^s3://bucket/whole/config\.json: .* found frames 3 there and 4 here"):
        generate(replace(options, out=there, frames=4))
    (tmp_path / "x").write_text("x")
    (RemotePath(store) / "taken" / "x").upload(tmp_path / "x")
    with pytest.raises(InputError, match="s3://bucket/taken: expected an empty folder or a run"):
        generate(replace(options, out=f"{store}/taken"))


def test_patients_that_cannot_be_recorded_are_named_and_recorded_once_they_are_mended(
    store: str, damaged_patients, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch
) -> None:
    def run(out: str) -> int:
        patients = ["--patients", *map(str, damaged_patients.folders), "--out", out, "--workers", "1"]
        size = ["--frames", "2", "--every", "2", "--size", "32", "32", "--splits", "1", "0", "0"]
        return main(["dataset", "generate", *patients, *size])

    url = f"{store}/damaged"
    assert run(url) == BAD_INPUT
    assert damaged_patients.said_by(capfd.readouterr().err.splitlines()[-1])
    assert set(RemotePath(url).files()) == {"config.json", "ann.tar", ".ann.tar.notes"}
    damaged_patients.mend()
    sent: list[str] = []
    upload = RemotePath.upload
    monkeypatch.setattr(RemotePath, "upload", lambda self, source: (sent.append(self.name), upload(self, source))[1])
    assert run(url) == DONE
    assert {name for name in sent if name.endswith(".tar")} == {"bob.tar", "eve.tar"}
    assert run(str(tmp_path / "here")) == DONE
    here = {path.name: file_sha256(path) for path in (tmp_path / "here").iterdir() if path.name != "config.json"}
    assert content(url) == here


def test_a_shard_of_another_size_is_named(store: str, there: str, options: GenerateOptions, tmp_path) -> None:
    url = RemotePath(f"{store}/short")
    for name in ("config.json", "tube.tar"):
        (RemotePath(there) / name).download(tmp_path / name)
    (tmp_path / "tube.tar").write_bytes((tmp_path / "tube.tar").read_bytes()[:3000])
    for name in ("config.json", "tube.tar"):
        (url / name).upload(tmp_path / name)
    with pytest.raises(InputError, match=r"s3://bucket/short/tube\.tar: .*; remove it, and the same command records"):
        generate(replace(options, out=url.url))


def key_of(sample: Sample) -> str:
    return sample.key


def test_check_and_both_readers_read_from_there(there: str, options: GenerateOptions) -> None:
    figures = {(one.name, one.subset): one.value for one in check_leaky(there)}
    assert figures["dataset.frames", "train"] == 3
    local = FrameDataset(Path(options.out), ["train"], key_of)
    far = FrameDataset(place_of(there), ["train"], key_of)
    assert [far[number] for number in range(3)] == [local[number] for number in range(3)]
    assert sorted(FrameStream(place_of(there), ["train", "validation"], key_of)) == sorted(
        FrameStream(Path(options.out), ["train", "validation"], key_of)
    )


def check_leaky(where: str):
    """The two patients are one tube, so that only leaks between the splits may be found."""
    from scenarios.figures import CheckFailedError

    try:
        return check(CheckOptions(where))
    except CheckFailedError as error:
        other = [fault for fault in error.faults if "expected no frame of another split" not in fault]
        if other:
            raise AssertionError(other) from None
        return error.figures


def test_faults_are_one_line_each(store: str, options: GenerateOptions, capsys, monkeypatch) -> None:
    arguments = ["--patients", *options.patients, "--frames", "3", "--workers", "1"]

    def said(*words: str) -> str:
        assert main(["dataset", *words]) == 2
        lines = capsys.readouterr().err.strip().splitlines()
        assert len(lines) == 1
        return lines[0]

    assert "s3://bucket/none/dataset.json: expected a data set" in said("check", f"{store}/none")
    no_bucket = said("generate", *arguments, "--out", "s3://nobody/data")
    assert "s3://nobody/data/config.json: expected to write there, found: The specified bucket does not" in no_bucket
    assert "found ValueError: Protocol not known: nothing" in said("generate", *arguments, "--out", "nothing://a/b")
    assert "expected the driver of dvc://" in said("generate", *arguments, "--out", "dvc://a/b")
    monkeypatch.setattr(remote, "find_spec", lambda name: None)
    assert "pip install 'trocar[fsspec]' has it" in said("check", f"{store}/none")
    monkeypatch.undo()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
        patch.setenv("AWS_MAX_ATTEMPTS", "1")
        import s3fs

        s3fs.S3FileSystem.clear_instance_cache()
        assert "expected to list what is there, found EndpointConnectionError" in said(
            "generate", *arguments, "--out", f"{store}/data"
        )
    s3fs.S3FileSystem.clear_instance_cache()


def test_denied_is_said(tmp_path: Path, monkeypatch) -> None:
    import fsspec.implementations.local

    monkeypatch.setattr(
        fsspec.implementations.local.LocalFileSystem,
        "put_file",
        lambda *_, **__: (_ for _ in ()).throw(PermissionError("Access Denied")),
    )
    (tmp_path / "x").write_text("x")
    with pytest.raises(InputError, match="expected to be allowed to write, found: Access Denied"):
        RemotePath(f"local://{tmp_path}/y").upload(tmp_path / "x")


def test_where_files_are_renamed_an_upload_leaves_no_other_name(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"content")
    (RemotePath(f"local://{tmp_path}/a") / "y").upload(tmp_path / "x")
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["y"]
    assert RemotePath(f"local://{tmp_path}/a").files() == {"y": 7}
    assert (RemotePath(f"local://{tmp_path}/a") / "y").read_bytes() == b"content"


def test_a_path_is_a_path_and_a_url_is_a_url() -> None:
    assert place_of("a/b") == Path("a/b")
    assert place_of("file:///a/b") == Path("/a/b")
    assert place_of("s3://a/b/") == RemotePath("s3://a/b")
    assert str(place_of("s3://a/b") / "c.tar") == "s3://a/b/c.tar"
    assert os.fspath(Path("a")) == str(place_of("a"))
