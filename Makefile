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

test: install-test lint
	OMP_NUM_THREADS=1 $(BIN)/pytest -m "not slow" -n $(WORKERS) --dist worksteal

# The same tests, watched, which takes half as long again: at least 90 % of the lines of ctcore and pipeline.
coverage: install-test
	OMP_NUM_THREADS=1 $(BIN)/pytest -m "not slow" -n $(WORKERS) --dist worksteal --cov --cov-report=term-missing:skip-covered --cov-report=html:coverage

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

test-slow: install-test
	$(BIN)/pytest -m slow --hypothesis-profile=thorough

lint: install-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/mypy ctcore stage1_localizer stage2_multitask pipeline benchmarks fuzz tests

# Makes the bundle that ships inside the package again, from nothing but parametric phantoms: about three hours on two cores.
demo-bundle: install
	$(BIN)/pipeline phantom --cases 400 --seed 1001 --domain wide --workers $(WORKERS) --output $(WORK)/phantoms-wide
	$(BIN)/pipeline phantom --cases 500 --seed 1002 --workers $(WORKERS) --output $(WORK)/phantoms-clinical
	$(BIN)/pipeline phantom --cases 1000 --seed 1003 --workers $(WORKERS) --output $(WORK)/phantoms-more
	$(BIN)/pipeline phantom --cases 150 --seed 1005 --domain wide --positive-fraction 1 --lesion-ml 60,700 \
		--workers $(WORKERS) --output $(WORK)/phantoms-large
	$(BIN)/stage1-localizer prepare --input $(WORK)/phantoms-wide --input $(WORK)/phantoms-clinical \
		--input $(WORK)/phantoms-more --input $(WORK)/phantoms-large --output $(WORK)/stage1 --folds 20 --workers $(WORKERS)
	$(BIN)/stage1-localizer plan --workspace $(WORK)/stage1 --workers $(WORKERS)
	$(BIN)/stage1-localizer train --workspace $(WORK)/stage1 --workers 0
	$(BIN)/stage1-localizer export --workspace $(WORK)/stage1 --output $(WORK)/stage1-model --trained-on "$(TRAINED_ON)"
	$(BIN)/stage2-multitask prepare --input $(WORK)/phantoms-wide --input $(WORK)/phantoms-clinical \
		--input $(WORK)/phantoms-more --output $(WORK)/stage2 --folds 20 --workers $(WORKERS)
	$(BIN)/stage2-multitask plan --workspace $(WORK)/stage2 --workers $(WORKERS)
	$(BIN)/stage2-multitask train --workspace $(WORK)/stage2 --workers 0
	$(BIN)/stage2-multitask export --workspace $(WORK)/stage2 --output $(WORK)/stage2-model --trained-on "$(TRAINED_ON)"
	$(BIN)/pipeline bundle create --stage1 $(WORK)/stage1-model --stage2 $(WORK)/stage2-model --demo --overwrite \
		--name demo --description "Demonstration model, trained on synthetic CTs alone; not for clinical use" \
		--candidates dynamic-v2-mean --growth-factor 5 --output $(WORK)/bundle
	$(BIN)/pipeline phantom --cases 120 --seed 1004 --workers $(WORKERS) --output $(WORK)/phantoms-validation
	$(BIN)/pipeline run --bundle $(WORK)/bundle --input $(WORK)/phantoms-validation/imagesTr --output $(WORK)/validation \
		--no-report --overwrite
	$(BIN)/pipeline bundle calibrate --bundle $(WORK)/bundle --predictions $(WORK)/validation \
		--case-labels $(WORK)/phantoms-validation/case_labels.csv --fitted-on "phantoms of seed 1004 (synthetic CTs)" \
		--fusion mean --sensitivity 0.95 --specificity 0.95 --overwrite --output $(WORK)/calibrated
	$(BIN)/pipeline bundle fit-quality --bundle $(WORK)/calibrated --input $(WORK)/phantoms-validation/imagesTr \
		--fitted-on "120 phantoms of seed 1004 (synthetic CTs)" --overwrite --output $(WORK)/with-quality
	$(BIN)/pipeline phantom --cases 60 --seed 9001 --workers $(WORKERS) --output $(WORK)/phantoms-efforts
	$(BIN)/pipeline bundle measure-efforts --bundle $(WORK)/with-quality --input $(WORK)/phantoms-efforts/imagesTr \
		--labels $(WORK)/phantoms-efforts/labelsTr --case-labels $(WORK)/phantoms-efforts/case_labels.csv \
		--measured-on "60 phantoms of seed 9001 (synthetic CTs)" --overwrite --output $(WORK)/with-efforts
	$(BIN)/pipeline phantom --cases 100 --seed 9001 --workers $(WORKERS) --output $(WORK)/phantoms-test
	$(BIN)/pipeline run --bundle $(WORK)/with-efforts --input $(WORK)/phantoms-test/imagesTr --output $(WORK)/test \
		--no-report --overwrite
	$(BIN)/pipeline evaluate --predictions $(WORK)/test --labels $(WORK)/phantoms-test/labelsTr \
		--case-labels $(WORK)/phantoms-test/case_labels.csv --output $(WORK)/test-evaluation
	$(BIN)/pipeline bundle describe --bundle $(WORK)/with-efforts --metrics $(WORK)/test-evaluation/metrics.json \
		--measured-on "100 phantoms of seed 9001 (synthetic CTs)" --licence Apache-2.0 \
		--intended-use "Trying the software out, and testing it" --complete --overwrite --output pipeline/demo_bundle

# Makes a bundle of our own recipe, for which label maps like PANORAMA's are needed: make flagship-bundle ANATOMY=DIR
flagship-bundle: install-test
	@test -n "$(ANATOMY)" || { echo "say where the label maps are: make flagship-bundle ANATOMY=DIR"; exit 2; }
	$(BIN)/python -m benchmarks.flagship_bundle --anatomy "$(ANATOMY)" --output $(WORK)/systems --workers $(WORKERS)

acceptance: install-test
	$(BIN)/python -m benchmarks.acceptance --output $(WORK)/acceptance

clean:
	rm -rf $(DEMO) build dist *.egg-info
