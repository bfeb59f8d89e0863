"""The commands as a person uses them."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest

from embedder import __version__, read
from tests.cli import Cli
from tests.embedder.commands import command, imported
from tests.embedder.pictures import put
from tests.embedder.stand_in import PixelEncoder
from tests.embedder.stored import contents, fill, many, stored


class TestRun:
    def test_the_main_job(self, cli: Cli, photo_folder: Path, weights: Path) -> None:
        first = cli("run", photo_folder, "--weights", weights, "--engine", "torch", "--precision", "full")
        assert first.returncode == 0, first.stderr
        assert first.stdout.startswith("12 of 12 embedded in ")
        second, heavy = imported(
            "run",
            photo_folder,
            "--weights",
            weights,
            "--json",
            "--engine",
            "torch",
            "--precision",
            "full",
            folder=cli.folder,
        )
        assert (second.returncode, second.report["skipped"]) == (0, 12)
        assert "Nothing to do: all 12 images are in vectors.db already." in second.stderr
        assert heavy & {"torch", "torchvision"} == set()
        found = cli("read", "vectors.db", "--out", "v.npz")
        assert found.returncode == 0
        with np.load(cli.folder / "v.npz") as arrays:
            assert arrays["vectors"].shape == (12, 512)
            assert arrays["ids"].tolist() == sorted(arrays["ids"].tolist())

    def test_json_is_the_last_line_and_quiet_is_quiet(
        self, encoder: PixelEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        put(tmp_path / "images", "1.jpg")
        monkeypatch.chdir(tmp_path)
        plain = command("run", "images", "--weights", "random")
        assert plain.stdout.startswith("1 of 1 embedded in ")
        both = command("run", "images", "--weights", "random", "--json")
        assert both.stdout.count("\n") == 1
        assert both.report["skipped"] == 1
        quiet = command("run", "images", "--weights", "random", "--quiet")
        assert (quiet.stdout, quiet.stderr) == ("", "")
        assert encoder.opened == 1

    def test_every_option_has_a_variable_and_the_option_wins(
        self, encoder: PixelEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        put(tmp_path / "images", "1.jpg", "2.jpg", "3.png")
        monkeypatch.chdir(tmp_path)
        for name, value in {
            "EMBEDDER_SOURCE": "images",
            "EMBEDDER_STORE": "named.db",
            "EMBEDDER_WEIGHTS": "random",
            "EMBEDDER_DTYPE": "float16",
            "EMBEDDER_SUFFIXES": "jpg",
            "EMBEDDER_NORMALIZE": "true",
            "EMBEDDER_JSON": "1",
            "EMBEDDER_QUIET": "1",
        }.items():
            monkeypatch.setenv(name, value)
        found = command("run")
        assert found.report["fingerprint"] == "resnet18/random/pre1/float16/normalized"
        assert (found.report["store"], found.report["ignored"]) == ("named.db", {".png": 1})
        other = command("run", "--store", "other.db", "--no-normalize", "--dtype", "float32", "--suffixes", "png")
        assert other.report["fingerprint"] == "resnet18/random/pre1/float32"
        assert set(contents("other.db")) == {"3.png"}
        assert encoder.opened == 2

    def test_the_default_store_is_in_the_current_folder(
        self, encoder: PixelEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        put(tmp_path / "images", "1.jpg")
        monkeypatch.chdir(tmp_path)
        assert command("run", "images", "--weights", "random").returncode == 0
        assert set(contents("vectors.db")) == {"1.jpg"}
        assert encoder.opened == 1


class TestRead:
    @pytest.fixture(autouse=True)
    def store(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        fill("v.db", [*many(30), stored("cats/line\nbreak.jpg"), stored("🐈.jpg")])

    def test_a_pipe_gets_every_number_of_every_vector(self) -> None:
        found = command("read", "v.db", "image-00003", "image-00001")
        lines = [line.split("\t") for line in found.stdout.splitlines()]
        assert [line[:2] for line in lines] == [["image-00003", "512 x float32"], ["image-00001", "512 x float32"]]
        ids, vectors = read("v.db", ["image-00003", "image-00001"])
        assert ids == [line[0] for line in lines]
        assert np.array_equal(np.array([line[2:] for line in lines], np.float32), vectors)
        everything = command("read", "v.db")
        assert (len(everything.stdout.splitlines()), everything.stderr) == (32, "")

    @pytest.mark.parametrize("suffix", ["npz", "npy", "parquet", "csv", "feather"])
    def test_files(self, suffix: str) -> None:
        found = command("read", "v.db", "--prefix", "image-", "--out", f"out.{suffix}")
        assert (found.returncode, found.stdout) == (0, "")
        assert "30 vectors of dimension 512" in found.stderr
        assert Path(f"out.{suffix}").stat().st_size > 30 * 2000

    def test_missing_ids_are_named_and_the_others_written(self) -> None:
        found = command("read", "v.db", "image-00002", "nowhere", "no\nwhere", "--out", "out.npz")
        assert found.returncode == 1
        assert "'nowhere' is not in v.db" in found.stderr
        assert "'no\\nwhere' is not in v.db" in found.stderr
        with np.load("out.npz") as arrays:
            assert arrays["ids"].tolist() == ["image-00002"]
        assert command("read", "v.db", "--prefix", "birds/").returncode == 1

    def test_ids_from_a_file(self) -> None:
        Path("ids.txt").write_bytes("\ufeffimage-00007\r\n🐈.jpg\n\nnowhere\n".encode())
        found = command("read", "v.db", "--ids-file", "ids.txt")
        assert found.returncode == 1
        assert [line.split("\t")[0] for line in found.stdout.splitlines()] == ["image-00007", "🐈.jpg"]
        assert found.stderr == "embedder read: 'nowhere' is not in v.db\n"

    def test_an_empty_file_of_ids_asks_for_nothing(self) -> None:
        Path("ids.txt").write_text("")
        found = command("read", "v.db", "--ids-file", "ids.txt")
        assert (found.returncode, found.stdout) == (0, "")

    def test_an_id_with_a_newline_is_one_row_of_the_table(self) -> None:
        found = command("read", "v.db", "cats/line\nbreak.jpg")
        assert found.returncode == 0
        assert len(found.stdout.splitlines()) == 1

    def test_one_model_of_several(self) -> None:
        fill("v.db", [stored("other", fingerprint="another/model")])
        assert command("read", "v.db").returncode == 2
        assert command("read", "v.db", "--fingerprint", "another/model").stdout.startswith("other\t")

    def test_a_reader_that_goes_away_is_no_error(self, cli: Cli) -> None:
        fill("big.db", many(10, "x" * 100_000))
        process = cli.start("read", "big.db")
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.read(1)
        process.stdout.close()
        process.wait(60)
        assert "Traceback" not in process.stderr.read()
        process.stderr.close()


class TestImports:
    def test_help_needs_nothing(self, tmp_path: Path) -> None:
        for arguments in (("--help",), ("run", "--help"), ("--version",), ("run",), ("read", "--help")):
            _, heavy = imported(*arguments, folder=tmp_path)
            assert heavy == set(), arguments

    def test_reading_needs_no_torch(self, tmp_path: Path) -> None:
        fill(str(tmp_path / "v.db"), many(3))
        found, heavy = imported("read", "v.db", "--out", "v.npz", folder=tmp_path)
        assert (found.returncode, heavy) == (0, {"numpy"})
        found, heavy = imported("info", "v.db", "--json", folder=tmp_path)
        assert found.report["count"] == 3
        assert heavy & {"torch", "torchvision", "PIL", "boto3"} == set()


class TestHelp:
    def test_every_option_is_one_line_of_80_columns(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("COLUMNS", "80")
        shown = {each: command(each, "--help").stdout.splitlines() for each in ("run", "read", "similar", "gallery")}
        assert max(len(line) for lines in shown.values() for line in lines if not line.startswith("  embedder ")) <= 80
        for lines in shown.values():
            options = [place for place, line in enumerate(lines) if line.startswith("  -")]
            assert not [lines[place + 1] for place in options if lines[place + 1].startswith("   ")]
        titles = [line for line in shown["run"] if line.endswith(":") and not line.startswith(" ")]
        assert [each.split()[0] for each in titles[1:6]] == ["common", "the", "speed:", "failures:", "cloud"]

    def test_no_command_gets_help_and_a_misspelt_word_the_nearest(self) -> None:
        found = command()
        assert found.returncode == 2
        assert "duplicates" in found.stderr
        assert "did you mean run?" in command("rnu").stderr
        assert "'--sotre'; did you mean --store?" in command("run", "images", "--sotre=v.db").stderr
        assert "'extra'" in command("info", "v.db", "extra").stderr

    def test_a_shell_completes_with_the_script(self) -> None:
        program = f"""{command("completion", "bash").stdout}
            complete_words() {{ COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _shtab_embedder; echo "${{COMPREPLY[@]}}"; }}
            complete_words embedder du
            complete_words embedder run --pre"""
        done = subprocess.run(["bash", "-c", program], capture_output=True, text=True, check=True)
        assert done.stdout.split() == ["duplicates", "--precision"]
        assert command("completion", "zsh").stdout.startswith("#compdef embedder")
        assert "complete -c embedder" in command("completion", "fish").stdout
        assert command("completion", "csh").returncode == 2


def test_several_sources_are_one_run(encoder: PixelEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path / "images", "1.jpg", "2.jpg", "3.jpg")
    put(tmp_path / "more", "1.jpg", "4.jpg", first_seed=7)
    monkeypatch.chdir(tmp_path)
    words = ("run", "images/1.jpg", "images/2.jpg", "--weights", "random", "--json", "more/", "more/4.jpg")
    report = command(*words, "--store", "v.db").report
    assert (report["embedded"], report["failed"], report["total"]) == (3, 1, 4)
    assert report["failures_by_cause"] == {"check: Collision": 1}
    assert report["ignored"] == {"named twice": 1}
    assert report["source"] == "images/1.jpg and 3 more"
    assert set(contents("v.db")) == {"1.jpg", "2.jpg", "4.jpg"}
    assert contents("v.db")["1.jpg"].source.endswith("images/1.jpg")
    assert command(*words, "--store", "w.db", "--image-id", "uri").report["embedded"] == 4
    assert command(*words, "--prune").returncode == 2
    assert "no file or folder nowhere.jpg" in command("run", "images/1.jpg", "nowhere.jpg").stderr
    assert encoder.opened == 2


def test_help_names_every_exit_code_and_command() -> None:
    assert {"run", "read", "info"} <= set(command("--help").stdout.split())
    shown = command("run", "--help").stdout
    assert all(f"\n  {code} " in shown for code in (0, 1, 2, 65, 75, 130, 143)), shown
    assert command("--version").stdout == f"embedder {__version__}\n"


def test_python_is_the_same(encoder: PixelEncoder, tmp_path: Path) -> None:
    from embedder import ConfigurationError, Report, embed

    put(tmp_path / "images", "cats/1.jpg", "dogs/1.jpg")
    report = embed(tmp_path / "images", tmp_path / "v.db", weights="random", batch_size=1)
    assert isinstance(report, Report)
    assert (report.images, report.embedded, report.exit_code) == (2, 2, 0)
    ids, vectors = read(str(tmp_path / "v.db"), prefix="cats/")
    assert (ids, vectors.shape) == (["cats/1.jpg"], (1, 512))
    with pytest.raises(ConfigurationError, match="there is no option 'batchsize'"):
        embed(tmp_path / "images", tmp_path / "v.db", batchsize=1)  # type: ignore[call-arg]
    assert json.loads(json.dumps(report.as_json()))["embedded"] == 2
    assert encoder.batches == [1, 1]
