# The image of `embedder`, for CPU or CUDA, x86-64 or arm64; how to build and run it: README.md, "In a container".
#   BASE         any Debian-like image with Python 3.11 or newer as python3, and its venv module
#   TORCH_INDEX  where torch's CPU build comes from; empty: PyPI's own torch, with CUDA
#   MODEL        the model that is made ready; any of torchvision's classification models
#   WEIGHTS      default: torchvision's file, downloaded, or taken from beside this file; random; none: left out
# Not Debian 13: from glibc 2.41 on MNN's library is refused, because it asks for an executable stack.
ARG BASE=docker.io/library/python:3.11-slim-bookworm

# What builds and installs. None of it is in the image.
FROM ${BASE} AS tools
COPY scripts/locks/tools.txt /opt/embedder/locks/
RUN --mount=type=secret,id=pip,target=/etc/pip.conf \
    python3 -m venv /tools \
    && /tools/bin/pip install --no-cache-dir --require-hashes --no-deps --requirement /opt/embedder/locks/tools.txt

FROM tools AS program
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY submitter submitter
COPY embedder embedder
RUN /tools/bin/pip wheel --no-cache-dir --no-index --no-deps --no-build-isolation --wheel-dir /wheels . \
    && python3 -m venv --without-pip /opt/venv \
    && /tools/bin/pip --python /opt/venv/bin/python install --no-cache-dir --no-index --no-deps /wheels/*.whl

FROM ${BASE} AS installed
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
# Locks are copied, not mounted: buildah takes a step for done, whatever has changed in a mount.
# pip comes and goes within each step. torch/test and torch/include, 145 MB, serve those who compile against torch. Of
# OpenVINO, 75 MB serve other devices and other formats of models.
COPY scripts/locks/torch.txt /opt/embedder/locks/
RUN --mount=type=secret,id=pip,target=/etc/pip.conf \
    set -e; python3 -m venv --without-pip /opt/venv; python3 -m venv /tmp/tools; \
    install() { /tmp/tools/bin/pip --python /opt/venv/bin/python install --no-cache-dir --no-deps "$@"; }; \
    if [ -n "$TORCH_INDEX" ]; then \
      grep -Eo '^torch(vision)?==[^ ;]+' /opt/embedder/locks/torch.txt >/tmp/tools/torch.txt; \
      install --index-url "$TORCH_INDEX" --requirement /tmp/tools/torch.txt; \
    else \
      install --require-hashes --requirement /opt/embedder/locks/torch.txt; \
    fi; \
    rm -rf /tmp/tools /opt/venv/lib/python3*/site-packages/torch/test /opt/venv/lib/python3*/site-packages/torch/include
COPY scripts/locks/base.txt /opt/embedder/locks/
RUN --mount=type=secret,id=pip,target=/etc/pip.conf \
    python3 -m venv /tmp/tools \
    && /tmp/tools/bin/pip --python /opt/venv/bin/python install --no-cache-dir --no-deps --require-hashes \
      --requirement /opt/embedder/locks/base.txt \
    && rm -rf /tmp/tools /opt/venv/lib/python3*/site-packages/openvino/include \
    && find /opt/venv/lib/python3*/site-packages/openvino/libs -regextype posix-extended \
      -regex '.*/(cache.json|.*_[gn]pu_plugin.so|libopenvino_(tensorflow|pytorch|paddle|jax|gguf)_.*)' -delete
COPY --from=program /opt/venv /opt/venv

FROM installed AS bill
COPY --from=tools /tools /tools
COPY scripts/bom.py /
RUN /tools/bin/python /bom.py /opt/venv/bin/python --debian >/bom.json

FROM installed
LABEL org.opencontainers.image.title="embedder" org.opencontainers.image.licenses="Apache-2.0"
ENV PATH=/opt/venv/bin:$PATH XDG_CACHE_HOME=/opt/embedder/cache TORCH_HOME=/opt/embedder/torch
COPY --from=bill /bom.json /opt/embedder/
ARG MODEL=resnet18
ARG WEIGHTS=default
RUN --mount=type=bind,source=.,target=/context \
    set -e; mkdir -p "$XDG_CACHE_HOME/embedder" "$TORCH_HOME/hub/checkpoints" /out; \
    find /context -maxdepth 1 -regex '.*-[0-9a-f]+\.pth' -exec cp -t "$TORCH_HOME/hub/checkpoints" {} +; \
    if [ "$WEIGHTS" != none ]; then python3 -m embedder.pipeline.bake "$WEIGHTS" "$MODEL"; fi
# By number, so that Kubernetes can see that it is not root. Any other number will do: nothing here is written to.
USER 10001:10001
WORKDIR /out
ENTRYPOINT ["embedder"]
CMD ["run"]
