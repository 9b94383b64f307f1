"""`score` on a Ray cluster that is there already, of two hosts (two nodes of Ray on this machine), and its failures."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from score_helpers import Workplace, echo, golden, outcome, write_benchmark, write_responses

from recipes.cli import main
from scoring.estimator import write_base_estimator

pytestmark = pytest.mark.slow
CLUSTER = """
import sys
from ray.cluster_utils import Cluster
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
cluster.add_node(num_cpus=1)
cluster.wait_for_nodes()
print(cluster.address, flush=True)
sys.stdin.read()
cluster.shutdown()
"""
Call = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """Return the address of a cluster of two hosts with a core each, which ends with this process."""
    command = [sys.executable, "-c", CLUSTER]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        process.communicate()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path, tiny_embedding: Path) -> Workplace:
    """Return a workplace with a finished local run over two methods."""
    folder = tmp_path_factory.mktemp("cluster")
    benchmark = write_benchmark(folder / "b.json", {"id": 4, "german": 3})
    write_base_estimator(str(tiny_model), folder / "estimator")
    answers = {"echo": echo(benchmark), "golden": golden(benchmark)}
    responses = write_responses(folder / "answers.jsonl", answers)
    made = Workplace(benchmark, folder / "estimator", tiny_embedding, tiny_model, responses, folder / "out")
    made.score(responses, made.out)
    return made


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Call:
    """Return a function that runs the command line and gives its exit code and what was printed, errors apart."""

    def invoke(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["rpm-methods", *arguments])
        monkeypatch.setenv("COLUMNS", "120")
        with pytest.raises(SystemExit) as caught:
            main()
        shown = capfd.readouterr()
        return int(caught.value.code or 0), shown.out, shown.err

    return invoke


def spread(place: Workplace, out: Path, address: str, *more: str) -> list[str]:
    return place.arguments(place.echo, out, "--no-report", "--executor", "ray", "--address", address, *more)


def test_scores_of_a_cluster_are_those_of_this_process(
    place: Workplace, address: str, call: Call, tmp_path: Path
) -> None:
    code, _, errors = call(*spread(place, tmp_path / "out", address))
    assert (code, errors) == (0, "")
    assert outcome(tmp_path / "out") == outcome(place.out)
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert len(manifest["execution"]["hosts"]) == 2
    (likelihoods,) = [stage for stage in manifest["stages"] if stage["name"] == "likelihoods"]
    assert [part["place"] for part in likelihoods["parts"]] == ["id", "german"]


def test_a_failure_of_a_worker_is_told_in_the_words_of_the_local_executor(
    place: Workplace, address: str, call: Call, tmp_path: Path
) -> None:
    from safetensors.numpy import load_file, save_file

    benchmark = write_benchmark(tmp_path / "b.json", {"id": 3})
    weights = load_file(place.model / "model.safetensors")
    weights["model.norm.weight"][0] = np.nan
    model = tmp_path / "model"
    model.mkdir()
    for path in place.model.iterdir():
        (model / path.name).write_bytes(path.read_bytes())
    save_file(weights, model / "model.safetensors", metadata={"format": "pt"})
    write_base_estimator(str(model), tmp_path / "damaged")
    responses = write_responses(tmp_path / "answers.jsonl", {"echo": echo(benchmark)})
    damaged = replace(place, benchmark=benchmark, estimator=tmp_path / "damaged", echo=responses)
    here = call(*damaged.arguments(responses, tmp_path / "here", "--no-report"))
    there = call(*spread(damaged, tmp_path / "there", address))
    assert here[0] == there[0] == 1
    assert here[2] == there[2]
    assert there[2].startswith("The run failed: the estimator gave the (golden) response of sample ")


def test_more_cores_than_any_host_has_are_a_failed_run_that_names_the_hosts(
    place: Workplace, address: str, call: Call, tmp_path: Path
) -> None:
    code, _, errors = call(*spread(place, tmp_path / "out", address, "--set", "compute.threads=2"))
    assert code == 1
    assert errors.startswith("The run failed: no host of the cluster has 2 cores (")
    assert errors.endswith(": 1 cores, 0 GPUs); set compute.threads or compute.device\n")
