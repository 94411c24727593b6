# The pipeline as a container that answers PANORAMA's cases on grand-challenge.org: docs/grand-challenge.md.
#
#   docker build --build-arg VARIANT=cuda --build-arg BUNDLE=my_bundle --tag pdac .
#   docker run --rm --network none --gpus all -v "$PWD/test/input:/input:ro" -v "$PWD/test/output:/output" pdac
#
# BASE takes a digest, too (python:...@sha256:...), where the same bytes are wanted for ever.
ARG BASE=python:3.11.13-slim-bookworm

FROM ${BASE} AS build
# cpu: PyTorch without CUDA. cuda: PyTorch with the CUDA libraries that it brings along.
ARG VARIANT=cpu
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /source
COPY constraints.txt pyproject.toml README.md LICENSE ./
RUN python -m venv /opt/venv \
 && torch="$(grep -E '^(torch|torchvision)==' constraints.txt)" \
 && case "${VARIANT}" in \
      cpu) /opt/venv/bin/pip install ${torch} --index-url https://download.pytorch.org/whl/cpu ;; \
      cuda) /opt/venv/bin/pip install ${torch} --constraint constraints.txt ;; \
      *) echo "VARIANT '${VARIANT}' is neither cpu nor cuda" >&2; exit 2 ;; \
    esac
COPY ctcore ctcore
COPY stage1_localizer stage1_localizer
COPY stage2_multitask stage2_multitask
COPY pipeline pipeline
RUN /opt/venv/bin/pip install --constraint constraints.txt .

FROM ${BASE}
# The bundle that is baked in; another is mounted over /opt/bundle, read-only.
ARG BUNDLE=pipeline/demo_bundle
RUN useradd --uid 1000 --user-group --create-home --shell /usr/sbin/nologin user \
 && mkdir /input /output \
 && chown user:user /output
COPY --from=build /opt/venv /opt/venv
COPY ${BUNDLE} /opt/bundle
RUN /opt/venv/bin/pipeline bundle verify /opt/bundle
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1 NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility
USER user
WORKDIR /home/user
ENTRYPOINT ["pipeline", "grand-challenge", "--bundle", "/opt/bundle"]
CMD ["--input", "/input", "--output", "/output"]
