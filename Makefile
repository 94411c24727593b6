# Two commands do everything on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
# Extra arguments for pip, for instance: make demo PIP_ARGS="--extra-index-url https://download.pytorch.org/whl/cpu"
PIP_ARGS ?=
WORKERS ?= 2
DEMO := demo
WORK := work
TRAINED_ON := parametric phantoms (synthetic CTs)

SECONDS ?= 600
TOOLS := .venv-audit

.PHONY: demo test test-slow lint install install-test demo-bundle flagship-bundle acceptance coverage fuzz sbom audit clean

install: $(VENV)/.installed
install-test: $(VENV)/.installed-test

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet $(PIP_ARGS) --constraint constraints.txt --editable .
	touch $@

$(VENV)/.installed-test: pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet $(PIP_ARGS) --constraint constraints.txt --editable '.[test]'
	touch $@ $(VENV)/.installed

demo: install
	rm -rf $(DEMO)
	$(BIN)/pipeline phantom --cases 8 --seed 7 --workers $(WORKERS) --output $(DEMO)/phantoms
	$(BIN)/pipeline run --input $(DEMO)/phantoms/imagesTr --output $(DEMO)/results
	$(BIN)/pipeline evaluate --predictions $(DEMO)/results --labels $(DEMO)/phantoms/labelsTr \
		--case-labels $(DEMO)/phantoms/case_labels.csv --output $(DEMO)/evaluation
	@echo
	@echo "Look at $(DEMO)/results/report/index.html (pictures), $(DEMO)/results/results.csv (scores)"
	@echo "and $(DEMO)/evaluation/metrics.json (figures: of a demonstration model, on phantoms)."

# Coverage (>= 90 % of the lines of ctcore and pipeline) is measured on the way; make coverage shows the gaps.
test: install-test lint
	$(BIN)/pytest -m "not slow" --cov --cov-report=term:skip-covered

coverage: install-test
	$(BIN)/pytest -m "not slow" --cov --cov-report=term-missing:skip-covered --cov-report=html:coverage

# Fuzzes all that parses, SECONDS in all; what is interesting is kept in fuzz-corpus/ for the next time.
fuzz: install-test
	$(BIN)/python -m fuzz --seconds $(SECONDS)

# Tools apart from what they look at.
$(TOOLS)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(TOOLS)
	$(TOOLS)/bin/pip install --quiet $(PIP_ARGS) --constraint constraints.txt cyclonedx-bom pip-audit
	touch $@

# What is installed, as CycloneDX.
sbom: install $(TOOLS)/.installed
	$(TOOLS)/bin/cyclonedx-py environment --pyproject pyproject.toml --output-reproducible --of JSON -o sbom.json $(BIN)/python
	@echo "sbom.json"

# Known vulnerabilities of the pinned set. Exit code 0 where none is known, 1 where one is; where the service that knows
# them cannot be reached nothing is known, which is said, and is no success either: CI goes on, a person decides.
audit: $(TOOLS)/.installed
	@$(TOOLS)/bin/pip-audit --requirement constraints.txt --no-deps --disable-pip --progress-spinner off > audit.log 2>&1; \
	code=$$?; cat audit.log; \
	if grep -qE "could not be audited|ConnectionError|Max retries|ServiceError" audit.log && ! grep -qE "known vulnerabilit(y|ies) in" audit.log; then \
		echo "audit: SKIPPED, the service that knows vulnerabilities cannot be reached, or not for all packages" | tee -a audit.log; \
		exit 3; \
	fi; exit $$code

clean:
	rm -rf $(DEMO) build dist *.egg-info
