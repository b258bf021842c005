# A service on CPUs, or on NVIDIA GPUs; see docs/deployment.md.
FROM python:3.11.14-slim-bookworm AS build

# PyTorch's package index: cpu, or one of CUDA such as cu126, which brings CUDA's libraries along.
ARG TORCH_INDEX=cpu

WORKDIR /source
RUN python -m venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH
COPY requirements/tested.txt requirements/
RUN pip install --no-cache-dir -c requirements/tested.txt torch \
    --index-url "https://download.pytorch.org/whl/${TORCH_INDEX}" \
    --extra-index-url https://pypi.org/simple
COPY setup.py README.md ./
COPY configs configs
COPY mmseg_custom mmseg_custom
COPY tools tools
RUN pip install --no-cache-dir -c requirements/tested.txt ".[lite,web,video,deploy]"

FROM python:3.11.14-slim-bookworm

# OpenCV's libraries; Debian drops old versions, so that a pinned one would soon be gone.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --no-install-recommends -y libgl1 libglib2.0-0 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin segmenter
COPY --from=build /opt/venv /opt/venv

# The folders that libraries write to, which may be a tmpfs.
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    HOME=/tmp \
    MPLCONFIGDIR=/tmp/matplotlib \
    GRADIO_ANALYTICS_ENABLED=False \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility
USER 10001
WORKDIR /models
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s \
    CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:8000/healthz', timeout=4)"]
ENTRYPOINT ["python", "-m", "mmseg_custom.tools.serve", "--host", "0.0.0.0"]
CMD ["model.pth"]
