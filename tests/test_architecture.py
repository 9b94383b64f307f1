"""The packages import each other one way only, and what promises to need no torch needs none."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ALLOWED = {
    "benchmark": set(),
    "scoring": {"benchmark"},
    "rpm_methods": {"benchmark", "scoring"},
    "corl": {"benchmark", "scoring", "rpm_methods"},
    "reports": {"benchmark", "scoring"},
    "recipes": {"benchmark", "scoring", "rpm_methods", "corl", "reports"},
}
TORCHLESS = (
    "benchmark",
    "benchmark.construction",
    "benchmark.conversion",
    "benchmark.degradation",
    "benchmark.endpoint",
    "benchmark.oracle",
    "benchmark.published",
    "benchmark.run_store",
    "benchmark.statistics",
    "reports",
    "reports.figures.report_figures",
    "reports.published.section",
    "reports.report",
    "reports.tables.report_tables",
    "reports.validation",
    "scoring",
    "scoring.agreement",
    "scoring.block_files",
    "scoring.bootstrap",
    "scoring.bound",
    "scoring.bound_forms",
    "scoring.bound_terms",
    "scoring.calibrated_bound",
    "scoring.club",
    "scoring.clusters",
    "scoring.degradation_trend",
    "scoring.divergence",
    "scoring.divergence_estimate",
    "scoring.divergence_influence",
    "scoring.joint_divergence",
    "scoring.judge",
    "scoring.negatives",
    "scoring.pair_matrix",
    "scoring.remi",
    "scoring.resamples",
    "scoring.script_coverage",
    "scoring.statistics",
    "scoring.stratified",
    "scoring.text_rewards",
    "recipes.cli.app",
)


def imported_packages(file: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names.add(node.module.split(".")[0])
    return names & set(ALLOWED)


@pytest.mark.parametrize("package", ALLOWED)
def test_a_package_imports_only_what_stands_below_it(package: str) -> None:
    files = sorted((ROOT / package).rglob("*.py"))
    assert files
    for file in files:
        extra = imported_packages(file) - ALLOWED[package] - {package}
        assert not extra, f"{file.relative_to(ROOT)} imports {sorted(extra)}"


def test_modules_that_promise_it_import_without_torch() -> None:
    code = f"import sys, importlib; [importlib.import_module(m) for m in {TORCHLESS!r}]; print('torch' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert result.stdout.strip() == "False"


def test_files_stay_short_enough_to_read() -> None:
    long = [f for p in ALLOWED for f in (ROOT / p).rglob("*.py") if len(f.read_text().splitlines()) > 400]
    assert not long
